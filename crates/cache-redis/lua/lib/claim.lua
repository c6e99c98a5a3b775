-- One task to one agent. Refusals come before the first write.

local CLAIM_SWEEP = 16

local function granted(id, task)
  return {
    'granted', id, task.goal, int(task.token), int(task.attempt), int(task.max_attempts), int(task.started_at),
    int(task.lease_expires), task.last_error and '+' .. task.last_error or '',
    task.last_error_detail and '+' .. task.last_error_detail or '', node_of(id, task) or '',
  }
end

-- The move `claim` for a task that was taken out of the ready ones, written out: it is made for every task,
-- and this costs half of what the table of moves does. Nil when the task is not ready.
local function grant(id, floor, by)
  local key = P .. 'task:' .. id
  local task = call('HMGET', key, 'status', 'goal', 'max_attempts', 'token', 'attempt', 'owner', 'last_error', 'root')
  if task[1] ~= 'ready' then
    return nil
  end
  -- Only somebody who had it before, or called it off, left these.
  local before_it = (task[6] or task[7]) and call('HMGET', key, 'progress', 'last_error_detail', 'expired') or EMPTY
  local goal, agent = task[2], by.agent
  local token, attempt = int(math.max(tonumber(task[4] or 0), floor) + 1), int((task[5] or 0) + 1)
  local now, expires_at = int(NOW), later(NOW, by.ttl)
  local until_then = int(expires_at)
  call('HSET', key, 'status', 'running', 'token', token, 'attempt', attempt, 'owner', agent, 'lease_expires',
    until_then, 'started_at', now, 'claim', by.incarnation .. '\t' .. by.request)
  if before_it[1] then
    call('HDEL', key, 'progress')
  end
  if before_it[3] and before_it[3] ~= '' then
    call('HSET', key, 'expired', '')
  end
  lock(id, agent, token, expires_at)
  hold(agent, by.request, id, expires_at)
  if task[8] then
    count_listed({ goal = goal, root = task[8] }, -1)
  end
  if goals[goal] then
    count(goal, 'ready', -1)
    count(goal, 'running', 1)
  end
  told[#told + 1] = {
    'task.claimed ' .. goal .. ' ' .. id .. ' ' .. agent .. ' ' .. token .. ' ' .. attempt,
  }
  return {
    'granted', id, goal, token, attempt, task[3], now, until_then, task[7] and '+' .. task[7] or '',
    before_it[2] and '+' .. before_it[2] or '', call('HGET', P .. 'dag:' .. goal .. ':nodes', id) or '',
  }
end

-- Whether a claim is not to be given a task.
local function avoids(by, id)
  return by.avoid ~= '' and string.find(',' .. by.avoid .. ',', ',' .. id .. ',', 1, true) ~= nil
end

-- Takes the best task that is not avoided out of its group: a claim that avoids some is rare, and may look
-- at all groups.
local function take_other(by, has)
  local _, commas = string.gsub(by.avoid, ',', ',')
  for _, id in ipairs(best(by.goal, has, commas + 2)) do
    if not avoids(by, id) then
      local task = call('HMGET', P .. 'task:' .. id, 'goal', 'root', 'needs')
      call('ZREM', P .. 'index:ready:' .. (task[2] or task[1]) .. ':' .. (task[3] or ''), id)
      return id
    end
  end
end

-- The task that a claim names, if it may be had.
local function named(by)
  local task = task_of(by.task)
  if task and claimable(task) and (by.goal == '' or by.goal == scope_of(task))
    and not avoids(by, by.task) and covers(set_of(by.capabilities), task.needs) then
    return task
  end
end

-- The running task that this very request was granted.
local function granted_before(by, held)
  local line = '\n' .. by.request .. '\t'
  local from, to = string.find(held, line, 1, true)
  while from do
    local id = string.match(held, '^[^\n]+', to + 1)
    local task = task_of(id)
    if task and task.status == 'running' and task.owner == by.agent
      and task.claim == by.incarnation .. '\t' .. by.request then
      return id, task
    end
    from, to = string.find(held, line, to + 1, true)
  end
end

-- `by`: agent, incarnation, request, ttl, goal, task, capabilities and avoid (by commas); "" for no goal, no
-- task.
local function claim(by)
  if is_replaced() then
    return { 'unopened' }
  end
  local agent = call('HMGET', P .. 'index:agent:' .. by.agent, 'life', 'paused', 'held', 'due')
  if agent[1] and agent[1] ~= '+' .. by.incarnation then
    return { 'replaced' }
  end
  if agent[2] then
    return { 'nothing', 1, '' }
  end
  local held = agent[3]
  lines[by.agent], bounds[by.agent] = held or '\n', tonumber(agent[4] or '')
  if held then
    local id, task = granted_before(by, held)
    if id then
      return granted(id, task)
    end
  end
  if by.task ~= '' and call('EXISTS', P .. 'task:' .. by.task) == 0 then
    return { 'missing' }
  end
  local floor = EPOCH * 67108864
  if floor >= EXACT then
    return { 'tokens' }
  end

  if is_due() then
    expire_leases(CLAIM_SWEEP)
    end_waits(CLAIM_SWEEP)
  end
  if by.task ~= '' then
    local task = named(by)
    if task then
      by.token = math.max(task.token, floor) + 1
      return granted(by.task, make(by.task, task, 'claim', by))
    end
  else
    local has = by.capabilities == '' and EMPTY or set_of(by.capabilities)
    repeat
      local id
      if by.avoid ~= '' then
        id = take_other(by, has)
      else
        id = by.goal == '' and take_any(has) or by.goal ~= '' and take_of(by.goal, has)
      end
      -- What is ready or runs does not change what its goal is.
      local reply = id and grant(id, floor, by)
      if reply then
        return reply
      end
    until not id
  end
  return { 'nothing', 0, next_due() }
end
