-- One task to one agent. Refusals come before the first write.

local CLAIM_SWEEP = 16

-- What a claim must know of a task, and what it may have to remove.
local CLAIMED = {
  'goal', 'status', 'token', 'attempt', 'max_attempts', 'progress', 'last_error', 'last_error_detail', 'expired',
}

local function granted(id, task)
  return {
    'granted', id, task.goal, int(task.token), int(task.attempt), int(task.max_attempts), int(task.started_at),
    int(task.lease_expires), task.last_error and '+' .. task.last_error or '',
    task.last_error_detail and '+' .. task.last_error_detail or '', node_of(id, task) or '',
  }
end

-- Takes a task out of the ready ones.
local function take(by)
  if by.task == '' then
    local has = set_of(by.capabilities)
    local id
    if by.goal == '' then
      id = take_any(has)
    else
      id = take_of(by.goal, has)
    end
    local task = id and read_only(P .. 'task:' .. id, CLAIMED)
    if task then
      task.taken_out = true
    end
    return id, task
  end
  local task = task_of(by.task)
  if task and claimable(task) and (by.goal == '' or by.goal == task.goal)
    and covers(set_of(by.capabilities), task.needs) then
    return by.task, task
  end
end

-- The running task that this very request was granted.
local function granted_before(by, held)
  local line = '\n' .. by.request .. '\t'
  local from, to = string.find(held, line, 1, true)
  while from do
    local id = string.match(held, '^[^\n]+', to + 1)
    local task = task_of(id)
    if task and task.status == 'running' and task.owner == by.agent and task.request == by.request then
      return id, task
    end
    from, to = string.find(held, line, to + 1, true)
  end
end

-- `by`: agent, incarnation, request, ttl, goal, task, capabilities (by commas); "" for no goal, no task.
local function claim(by)
  local agent = call('HMGET', P .. 'index:agent:' .. by.agent, 'life', 'paused', 'held')
  if agent[1] and agent[1] ~= '+' .. by.incarnation then
    return { 'replaced' }
  end
  if agent[2] then
    return { 'nothing', 1, '' }
  end
  local held = agent[3]
  lines[by.agent] = held or '\n'
  if held then
    local id, task = granted_before(by, held)
    if id then
      return granted(id, task)
    end
  end
  if by.task ~= '' and call('EXISTS', P .. 'task:' .. by.task) == 0 then
    return { 'missing' }
  end
  local floor = EPOCH * 4294967296
  if floor >= EXACT then
    return { 'tokens' }
  end

  if is_due() then
    expire_leases(CLAIM_SWEEP)
    end_waits(CLAIM_SWEEP)
  end
  local id, task = take(by)
  if not id then
    return { 'nothing', 0, next_due({ 'index:leases', 'index:waits' }) }
  end
  by.token = math.max(task.token, floor) + 1
  -- What is ready or runs does not change what its goal is.
  return granted(id, make(id, task, 'claim', by))
end
