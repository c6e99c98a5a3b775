-- What an agent holds, in one field: a line for each claim, its request and its task. A settle leaves its
-- line, so that it need not look; lines are cut when there are many. Beside them stands a moment that none of
-- the agent's leases ends before, by which `index:leases` orders agents: it is looked at when that moment comes
-- or somebody asks, so that claims and settles, which come much more often, need not write there.

local HELD = 256

-- Lines that this call has read, and the moments beside them, by agent.
local lines, bounds = {}, {}

-- Of the leases that this process saw end, and whose lines may still be there, so many are known at most
-- (`here.over`). Only what would be found anyhow is known there: it goes with the process, as what is stored may be
-- another's then.
local MOST_OVERS = 20000

local function held_by(agent)
  if not lines[agent] then
    local stored = call('HMGET', P .. 'index:agent:' .. agent, 'held', 'due')
    lines[agent], bounds[agent] = stored[1] or '\n', tonumber(stored[2] or '')
  end
  return lines[agent]
end

local function end_lease(id)
  if here.overs >= MOST_OVERS then
    here.over, here.overs = {}, 0
  end
  here.over[id] = true
  here.overs = here.overs + 1
end

-- Whether the lease of a task is known to be over; it is not known any more.
local function was_over(id)
  if here.over[id] then
    here.over[id], here.overs = nil, here.overs - 1
    return true
  end
  return false
end

-- The tasks that an agent runs by one of these lines, with the lines and the ends of their leases.
local function still_held(agent, held)
  local running, still, ends = {}, {}, {}
  for line, request, id in gmatch(held, '(([^\n\t]+)\t([^\n]+))') do
    if not was_over(id) then
      local task = call('HMGET', P .. 'task:' .. id, 'status', 'owner', 'claim', 'lease_expires')
      if task[1] == 'running' and task[2] == agent and match(task[3], '\t(.*)') == request then
        local at = #running + 1
        running[at], still[at], ends[at] = id, line, tonumber(task[4])
      end
    end
  end
  return running, still, ends
end

local function joined(still)
  if #still == 0 then
    return '\n'
  end
  return '\n' .. table.concat(still, '\n') .. '\n'
end

-- No lease and no wait ends before `dues`, as far as this process has seen to it.
local function due_from(moment)
  local due = here.due
  if due and moment < due.at then
    due.at = moment
  end
end

-- Finds out when the first of an agent's leases ends. Returns its tasks and the ends of their leases.
local function look_at(agent)
  local held = held_by(agent)
  local running, still, ends = still_held(agent, held)
  local least
  for _, at in ipairs(ends) do
    least = min(at, least or at)
  end
  local now = joined(still)
  if now ~= held or least ~= bounds[agent] then
    lines[agent], bounds[agent] = now, least
    if least then
      call('HSET', P .. 'index:agent:' .. agent, 'held', now, 'due', int(least))
      call('ZADD', P .. 'index:leases', int(least), agent)
    else
      call('HDEL', P .. 'index:agent:' .. agent, 'held', 'due')
      call('ZREM', P .. 'index:leases', agent)
    end
  end
  return running, ends
end

-- A lease of this agent ends then.
local function lease(agent, expires_at)
  held_by(agent)
  due_from(expires_at)
  if not bounds[agent] or expires_at < bounds[agent] then
    bounds[agent] = expires_at
    call('HSET', P .. 'index:agent:' .. agent, 'due', int(expires_at))
    call('ZADD', P .. 'index:leases', int(expires_at), agent)
  end
end

-- Enters a claim. `key`, `ends`: of the agent's hash, and the end as a text, if they are known.
local function hold(agent, request, id, expires_at, key, ends)
  was_over(id)
  local held = held_by(agent) .. request .. '\t' .. id .. '\n'
  if #held > HELD then
    local _, still = still_held(agent, lines[agent])
    still[#still + 1] = request .. '\t' .. id
    held = joined(still)
  end
  lines[agent] = held
  due_from(expires_at)
  key = key or P .. 'index:agent:' .. agent
  if not bounds[agent] or expires_at < bounds[agent] then
    ends = ends or int(expires_at)
    bounds[agent] = expires_at
    call('HSET', key, 'held', held, 'due', ends)
    call('ZADD', P .. 'index:leases', ends, agent)
  else
    call('HSET', key, 'held', held)
  end
end
