-- One task to one agent. Refusals come before the first write.

local CLAIM_SWEEP = 16

-- Who claims, and what: agent, incarnation, request, ttl (also as a text, `ttl_text`), goal, task, capabilities and
-- avoid (by commas); "" for no goal, no task. One table for all claims, which come one after the other; and most last
-- as long as the one before.
local asked
do
  local claimant = {}

  function asked(agent, incarnation, request, ttl, goal, task, capabilities, avoid)
    if claimant.ttl_text ~= ttl then
      claimant.ttl, claimant.ttl_text, claimant.now = tonumber(ttl), ttl, nil
    end
    -- When its lease would end, also as a text: several claims in one call have the same.
    if claimant.now ~= NOW then
      claimant.now, claimant.ends = NOW, later(NOW, claimant.ttl)
      claimant.ends_text = int(claimant.ends)
    end
    claimant.agent, claimant.incarnation, claimant.request = agent, incarnation, request
    claimant.goal, claimant.task = goal or '', task or ''
    claimant.capabilities, claimant.avoid = capabilities or '', avoid or ''
    return claimant
  end
end

-- The answer of a claim: what has no spaces in one text, since each part of an answer costs as much.
local function told_granted(words, node, message, detail)
  if message then
    return { 'granted', words, node or '', message, detail and '+' .. detail or '' }
  end
  return { 'granted', words, node or '' }
end

local function granted(id, task)
  local words = id .. ' ' .. task.goal .. ' ' .. int(task.token) .. ' ' .. int(task.attempt) .. ' '
    .. int(task.max_attempts) .. ' ' .. int(task.started_at) .. ' ' .. int(task.lease_expires)
  return told_granted(words, node_of(id, task), task.last_error, task.last_error_detail), task.goal
end

-- The move `claim` for a task that was taken out of the ready ones, or that lies in hand, written out: it is made
-- for every task, and this costs half of what the table of moves does. Nil when the task is not ready.
local function grant(id, least, by, in_hand)
  local key = P .. 'task:' .. id
  local task = in_hand and in_hand.fields
    or call('HMGET', key, 'status', 'goal', 'max_attempts', 'token', 'last_error', 'root')
  if not in_hand and task[1] ~= 'ready' then
    return nil
  end
  local goal, agent, message = task[2], by.agent, task[5]
  local token, attempt, detail = least, '1'
  if task[4] or message then
    -- Somebody had it before, or called it off.
    local left = call('HMGET', key, 'progress', 'last_error_detail', 'expired', 'attempt')
    token, attempt = max(tonumber(task[4] or 0), least), int((left[4] or 0) + 1)
    detail = left[2]
    if left[1] then
      call('HDEL', key, 'progress')
    end
    if left[3] and left[3] ~= '' then
      call('HSET', key, 'expired', '')
    end
  end
  if token == least then
    -- The same for all that nobody had before.
    if here.least ~= least then
      here.least, here.first_token = least, int(least + 1)
    end
    token = here.first_token
  else
    token = int(token + 1)
  end
  local expires_at, until_then = by.ends, by.ends_text
  call('HSET', key, 'status', 'running', 'token', token, 'attempt', attempt, 'owner', agent, 'lease_expires',
    until_then, 'started_at', NOW_TEXT, 'claim', by.incarnation .. '\t' .. by.request)
  -- As `lock` writes it.
  unlocked[id] = nil
  call('SET', key .. ':lock', agent .. ':' .. token, 'PX', expires_at == NOW + by.ttl and by.ttl_text
    or int(max(expires_at - NOW, 1)))
  hold(agent, by.request, id, expires_at, by.key, until_then)
  if task[6] and not in_hand then
    count_listed({ goal = goal, root = task[6] }, -1)
  end
  if goals[goal] then
    count(goal, 'ready', -1)
    count(goal, 'running', 1)
  end
  local words = ' ' .. token .. ' ' .. attempt
  told[#told + 1] = { NOW_TEXT .. ' task.claimed ' .. goal .. ' ' .. id .. ' ' .. agent .. words }
  local node = not together and call('HGET', nodes.key(goal), id)
  local reply = told_granted(id .. ' ' .. goal .. words .. ' ' .. task[3] .. ' ' .. NOW_TEXT .. ' ' .. until_then, node,
    message, detail)
  if together then
    nodes.ask(goal, id, reply)
  end
  return reply, goal
end

-- Whether a claim is not to be given a task.
local function avoids(by, id)
  return by.avoid ~= '' and find(',' .. by.avoid .. ',', ',' .. id .. ',', 1, true) ~= nil
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
  local from, to = find(held, line, 1, true)
  while from do
    local id = match(held, '^[^\n]+', to + 1)
    local task = task_of(id)
    if task and task.status == 'running' and task.owner == by.agent
      and task.claim == by.incarnation .. '\t' .. by.request then
      return id, task
    end
    from, to = find(held, line, to + 1, true)
  end
end

-- `by`: as `asked` makes it. The answer, and the goal of what was granted.
local function claim(by)
  if is_replaced() then
    return { 'unopened' }
  end
  by.key = P .. 'index:agent:' .. by.agent
  local agent = call('HMGET', by.key, 'life', 'paused', 'held', 'due')
  if agent[1] and agent[1] ~= '+' .. by.incarnation then
    return { 'replaced' }
  end
  if agent[2] then
    return { 'nothing', 1, '' }
  end
  local held = agent[3]
  lines[by.agent], bounds[by.agent] = held or '\n', agent[4] and tonumber(agent[4])
  if held and find(held, by.request, 1, true) then
    local id, task = granted_before(by, held)
    if id then
      return granted(id, task)
    end
  end
  if by.task ~= '' and call('EXISTS', P .. 'task:' .. by.task) == 0 then
    return { 'missing' }
  end
  local least = EPOCH * 67108864
  if least >= EXACT then
    return { 'tokens' }
  end

  if is_due() then
    lay_down()
    expire_leases(CLAIM_SWEEP)
    end_waits(CLAIM_SWEEP)
  end
  if by.task ~= '' or by.avoid ~= '' then
    lay_down()
  end
  if by.task ~= '' then
    local task = named(by)
    if task then
      by.token = max(task.token, least) + 1
      return granted(by.task, make(by.task, task, 'claim', by))
    end
  else
    local has = by.capabilities == '' and EMPTY or set_of(by.capabilities)
    repeat
      local id, in_hand
      if by.avoid ~= '' then
        id = take_other(by, has)
      elseif by.goal == '' then
        id, in_hand = take_any(has)
      else
        id, in_hand = take_of(by.goal, has)
      end
      -- What is ready or runs does not change what its goal is.
      local reply, goal
      if id then
        reply, goal = grant(id, least, by, in_hand)
      end
      if reply then
        return reply, goal
      end
    until not id
  end
  return { 'nothing', 0, next_due() }
end
