-- Goals. Counts are changed by what differs; a goal that a verb looks at is read once, changed in place
-- and written at the end.

local GOAL_EVENTS = {
  active = 'goal.active',
  complete = 'goal.complete',
  failed = 'goal.failed',
  stalled = 'goal.stalled',
  cancelled = 'goal.cancelled',
}

local goals, goals_before = {}, {}
-- What is to be added to the counts of goals that were not read, by the verb that runs; what others added
-- before it in the same call.
local counted, pending = {}, {}
-- Of goals in the same call, with what is pending: whether one is active; how many tasks are ready or run.
local levels = {}

-- Where a task is counted that stands there. Ready ones and running ones are told apart by the indexes of ready
-- tasks, and what is done is the rest of all tasks: so a claim counts nothing, and a settle one number.
local FIELDS = {
  active = 'active', blocked = 'blocked', ready = 'active', running = 'active', failed = 'failed', cancelled = 'cancelled',
  waiting = 'waiting', listed = 'listed', below = 'below',
}
local DERIVED = { ready = true, running = true, done = true }

-- `status` may also be `waiting`: of the ready tasks, those that wait for their next attempt; `listed`: of a goal
-- below another, those that do not; `below`: of a goal above others, how many those have together.
local function count(id, status, by)
  local goal = goals[id]
  if goal then
    goal[status] = max((goal[status] or 0) + by, 0)
    return
  end
  local field = FIELDS[status]
  if not field then
    return
  end
  local counts = counted[id]
  if not counts then
    counts = {}
    counted[id] = counts
  end
  counts[field] = (counts[field] or 0) + by
end

-- Adds what one verb counted to what the others of its call did.
local function merge(id)
  local sum, counts = pending[id], counted[id]
  counted[id] = nil
  if not sum then
    pending[id] = counts
    return
  end
  for status, by in pairs(counts or {}) do
    sum[status] = (sum[status] or 0) + by
  end
end

-- Writes the counts of a goal that was not read. True if they say that it was active and still is: it is
-- so as long as one of its tasks is ready or runs.
local function write_counts(id)
  local active = false
  local counts = counted[id]
  if pending[id] then
    merge(id)
    counts = pending[id]
  end
  if counts then
    counted[id], pending[id], levels[id] = nil, nil, nil
    for field, by in pairs(counts) do
      -- A goal above others may be gone before they are.
      if by ~= 0 and (field ~= 'below' or call('EXISTS', P .. 'goal:' .. id) == 1) then
        local now = call('HINCRBY', P .. 'goal:' .. id, field, by == -1 and '-1' or by)
        active = active or (field == 'active' and now > 0 and now > by)
      end
    end
  end
  return active
end

local function goal_of(id)
  if not goals[id] then
    write_counts(id)
    local key = P .. 'goal:' .. id
    local goal = read(key)
    if goal then
      for _, field in ipairs({ 'tasks', 'active', 'waiting', 'blocked', 'failed', 'cancelled', 'revision' }) do
        if not goal[field] then
          error({ err = 'CORRUPT its `' .. field .. '` is no number key=`' .. key .. '`' })
        end
      end
      goal.ready = goal.waiting + (goal.listed or 0)
      if not goal.root then
        for _, needs in ipairs(call('SMEMBERS', P .. 'index:needs:' .. id)) do
          goal.ready = goal.ready + call('ZCARD', P .. 'index:ready:' .. id .. ':' .. needs)
        end
        goal.ready = goal.ready - (goal.below or 0)
      end
      goal.running = goal.active - goal.ready
      goal.done = goal.tasks - goal.blocked - goal.active - goal.failed - goal.cancelled
      goals[id] = goal
      goals_before[id] = copy(goal)
    end
  end
  return goals[id]
end

local function active_of(counts)
  return counts and counts.active or 0
end

-- Whether a goal that was not read was active and still is, among several verbs: nothing is written.
local function stays_active(id)
  local level = levels[id]
  if not level then
    local stored = call('HMGET', P .. 'goal:' .. id, 'status', 'active')
    level = { active = stored[1] == 'active', number = tonumber(stored[2] or 0) + active_of(pending[id]) }
    levels[id] = level
  end
  return level.active and level.number + active_of(counted[id]) > 0
end

local function unfinished(goal)
  return goal.blocked + goal.ready + goal.running
end

local function total(goal)
  return unfinished(goal) + goal.done + goal.failed + goal.cancelled
end

local function write_goals()
  if next(goals) then
    for id, goal in pairs(goals) do
      goal.active, goal.tasks = goal.ready + goal.running, total(goal)
      write(P .. 'goal:' .. id, goals_before[id], goal, DERIVED)
    end
    goals, goals_before = {}, {}
  end
end

-- What one of several verbs gathered counts from now on.
local function keep()
  for id in pairs(counted) do
    if levels[id] then
      levels[id].number = levels[id].number + active_of(counted[id])
    end
    merge(id)
  end
  for id in pairs(goals) do
    levels[id] = nil
  end
  write_goals()
end

-- Ends a verb that stands alone, or several that run in one call.
local function write_all()
  for id in next, counted do
    merge(id)
  end
  for id in next, pending do
    write_counts(id)
  end
  write_goals()
  write_locks()
  finish_events()
end

local function finish()
  if not together then
    write_all()
  end
end

local function goal_status(goal)
  if goal.ready + goal.running > 0 then
    return 'active'
  end
  local all = total(goal)
  if goal.called_off or (goal.cancelled > 0 and goal.cancelled == all) then
    return 'cancelled', int(goal.cancelled) .. ' tasks were cancelled'
  end
  if goal.blocked > 0 then
    return 'stalled', format('%.0f unfinished tasks wait for %.0f failed and %.0f cancelled ones',
      goal.blocked, goal.failed, goal.cancelled)
  end
  if goal.failed > 0 then
    return 'failed', format('%.0f of %.0f tasks failed', goal.failed, all)
  end
  if goal.cancelled > 0 then
    return 'complete', format('%.0f of %.0f tasks were cancelled', goal.cancelled, all)
  end
  return 'complete'
end

-- Sets where a goal stands by its counts, and tells of it when that is new.
local function evaluate(id)
  if not goals[id] then
    local active
    if together then
      active = stays_active(id)
    else
      active = write_counts(id)
    end
    if active then
      return 'active'
    end
  end
  local goal = goal_of(id)
  local status, reason = goal_status(goal)
  local changed = status ~= goal.status
  goal.status = status
  goal.reason = reason or false
  if changed then
    goal.ended_at = status ~= 'active' and NOW
    if goal.ended_at then
      -- Nothing of it is ready; of a goal below it something may be.
      for _, needs in ipairs(call('SMEMBERS', P .. 'index:needs:' .. id)) do
        if call('EXISTS', P .. 'index:ready:' .. id .. ':' .. needs) == 0 then
          top('ZREM', id .. ':' .. needs)
        end
      end
    end
    say(GOAL_EVENTS[status], {
      goal = id,
      reason = reason,
      data = format(
        '{"counts":{"blocked":%.0f,"ready":%.0f,"running":%.0f,"done":%.0f,"failed":%.0f,"cancelled":%.0f}}',
        goal.blocked, goal.ready, goal.running, goal.done, goal.failed, goal.cancelled),
    })
  end
  return status
end

-- `spent`: calls, input_tokens, output_tokens and cost_micros by spaces; "" for nothing.
local function spend(id, spent)
  if spent == '' then
    return
  end
  local goal = goal_of(id)
  local number = gmatch(spent, '%d+')
  for _, name in ipairs({ 'calls', 'input_tokens', 'output_tokens', 'cost_micros' }) do
    goal[name] = min(goal[name] + tonumber(number()), EXACT)
  end
end
