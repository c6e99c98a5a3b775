-- Goals: read once, changed in place, written at the end of the verb.

local GOAL_EVENTS = {
  active = 'goal.active',
  complete = 'goal.complete',
  failed = 'goal.failed',
  stalled = 'goal.stalled',
  cancelled = 'goal.cancelled',
}

local goals, goals_before = {}, {}

local function goal_of(id)
  if not goals[id] then
    local goal = read(P .. 'goal:' .. id)
    if goal then
      goals[id] = goal
      goals_before[id] = copy(goal)
    end
  end
  return goals[id]
end

local function finish()
  for id, goal in pairs(goals) do
    write(P .. 'goal:' .. id, goals_before[id], goal)
  end
  finish_events()
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
  local goal = goal_of(id)
  local status, reason = goal_status(goal)
  local changed = status ~= goal.status
  goal.status = status
  goal.reason = reason
  if changed then
    goal.ended_at = status ~= 'active' and NOW or nil
    if goal.ended_at then
      -- Nothing of it is ready.
      call('DEL', P .. 'index:needs:' .. id)
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

local function spend(goal, spent)
  for _, name in ipairs({ 'calls', 'input_tokens', 'output_tokens', 'cost_micros' }) do
    goal[name] = math.min(goal[name] + spent[name], EXACT)
  end
end
