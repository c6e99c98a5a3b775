-- Agents: the registry and what follows from a registration.

local function agent_of(name)
  return read(P .. 'agent:' .. name .. ':registered')
end

local function silent_from(agent)
  return later(agent.last_beat, agent.ttl)
end

local function put_agent(name, old, agent)
  replace(P .. 'agent:' .. name .. ':registered', old, agent)
  if not old or old.incarnation ~= agent.incarnation or old.end_reason ~= agent.end_reason then
    call('HSET', P .. 'index:agent:' .. name, 'life', agent.end_reason and '-' or '+' .. agent.incarnation)
  end
  local heartbeat = P .. 'agent:' .. name .. ':heartbeat'
  if agent.end_reason then
    call('DEL', heartbeat)
  elseif not agent.silent then
    call('SET', heartbeat, int(agent.last_beat), 'PX', int(agent.ttl))
  end
  if agent.end_reason or agent.silent then
    call('ZREM', P .. 'index:silence', name)
  else
    call('ZADD', P .. 'index:silence', int(silent_from(agent)), name)
  end
  if agent.end_reason or agent.silent then
    call('ZADD', P .. 'index:gone', int(agent.last_beat), name)
  elseif old and (old.end_reason or old.silent) then
    call('ZREM', P .. 'index:gone', name)
  end
end

local function paused(name)
  return call('EXISTS', P .. 'agent:' .. name .. ':paused') == 1
end

-- Only the registered life, until it ends.
local function may_beat(agent, incarnation)
  return agent and not agent.end_reason and agent.incarnation == incarnation
end

-- Takes the running tasks from one life of a name. Another life under the same name, which never
-- registered, keeps its own.
local function free(name, incarnation, move, by)
  local freed = {}
  local held = still_held(name, held_by(name))
  table.sort(held, before)
  for _, id in ipairs(held) do
    local task = task_of(id)
    if task and task.status == 'running' and task.owner == name and match(task.claim, '^[^\t]*') == incarnation
      and make_alone(id, task, move, by) then
      freed[#freed + 1] = id
    end
  end
  return freed
end

-- An agent as Rust reads it.
local function told_agent(name, agent)
  return { name, flat(agent), paused(name) and 1 or 0 }
end
