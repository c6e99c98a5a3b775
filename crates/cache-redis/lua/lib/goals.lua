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

local function count(id, status, by)
  local goal = goals[id]
  if goal then
    goal[status] = math.max(goal[status] + by, 0)
    return
  end
  local counts = counted[id]
  if not counts then
    counts = {}
    counted[id] = counts
  end
  counts[status] = (counts[status] or 0) + by
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
  merge(id)
  local counts = pending[id]
  if counts then
    pending[id], levels[id] = nil, nil
    for status, by in pairs(counts) do
      if by ~= 0 then
        local now = call('HINCRBY', P .. 'goal:' .. id, status, by)
        active = active or ((status == 'running' or status == 'ready') and now > 0 and now > by)
      end
    end
  end
  return active
end

local function goal_of(id)
  if not goals[id] then
    write_counts(id)
    local goal = read(P .. 'goal:' .. id)
    if goal then
      goals[id] = goal
      goals_before[id] = copy(goal)
    end
  end
  return goals[id]
end

local function active_of(counts)
  return counts and (counts.ready or 0) + (counts.running or 0) or 0
end

-- Whether a goal that was not read was active and still is, among several verbs: nothing is written.
local function stays_active(id)
  local level = levels[id]
  if not level then
    local stored = call('HMGET', P .. 'goal:' .. id, 'status', 'ready', 'running')
    level = {
      active = stored[1] == 'active',
      number = tonumber(stored[2] or 0) + tonumber(stored[3] or 0) + active_of(pending[id]),
    }
    levels[id] = level
  end
  return level.active and level.number + active_of(counted[id]) > 0
end

local function write_goals()
  if next(goals) then
    for id, goal in pairs(goals) do
      write(P .. 'goal:' .. id, goals_before[id], goal)
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
  for id in pairs(counted) do
    merge(id)
  end
  for id in pairs(pending) do
    write_counts(id)
  end
  write_goals()
  write_leases()
  finish_events()
end

local function finish()
  if not together then
    write_all()
  end
end

local function unfinished(goal)
  return goal.blocked + goal.ready + goal.running
end

local function total(goal)
  return unfinished(goal) + goal.done + goal.failed + goal.cancelled
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
    return 'stalled', string.format('%.0f unfinished tasks wait for %.0f failed and %.0f cancelled ones',
      goal.blocked, goal.failed, goal.cancelled)
  end
  if goal.failed > 0 then
    return 'failed', string.format('%.0f of %.0f tasks failed', goal.failed, all)
  end
  if goal.cancelled > 0 then
    return 'complete', string.format('%.0f of %.0f tasks were cancelled', goal.cancelled, all)
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
      data = string.format(
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
  local number = string.gmatch(spent, '%d+')
  for _, name in ipairs({ 'calls', 'input_tokens', 'output_tokens', 'cost_micros' }) do
    goal[name] = math.min(goal[name] + tonumber(number()), EXACT)
  end
end
