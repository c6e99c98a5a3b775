-- One task to one agent. Refusals come before the first write.

local CLAIM_SWEEP = 16

local function granted(id, task)
  return { 'granted', told_task(id, task) }
end

local function pick(by)
  if not by.task then
    local id = best(by.goal or '*', by.capabilities, 1)[1]
    return id, id and task_of(id)
  end
  local task = task_of(by.task)
  if not task or not claimable(task) or (by.goal and by.goal ~= task.goal) then
    return nil
  end
  local has = {}
  for _, capability in ipairs(by.capabilities) do
    has[capability] = true
  end
  if covers(has, task.needs) then
    return by.task, task
  end
end

-- `by`: agent, incarnation, request, capabilities, ttl, and goal and task if there is one.
local function claim(by)
  local life = call('HMGET', P .. 'agent:' .. by.agent .. ':registered', 'incarnation', 'end_reason')
  if life[1] and (life[2] or life[1] ~= by.incarnation) then
    return { 'replaced' }
  end
  if paused(by.agent) then
    return { 'nothing', 1, '' }
  end
  for _, id in ipairs(call('ZRANGE', P .. 'index:held:' .. by.agent, 0, -1)) do
    local task = task_of(id)
    if task and task.request == by.request then
      return granted(id, task)
    end
  end
  if by.task and call('EXISTS', P .. 'task:' .. by.task) == 0 then
    return { 'missing' }
  end
  local floor = EPOCH * 67108864
  if floor >= EXACT then
    return { 'tokens' }
  end

  expire_leases(CLAIM_SWEEP)
  end_waits(CLAIM_SWEEP)
  local id, task = pick(by)
  if not id then
    return { 'nothing', 0, next_due({ 'index:leases', 'index:waits' }) }
  end
  by.token = math.max(task.token, floor) + 1
  return granted(id, make_alone(id, task, 'claim', by))
end
