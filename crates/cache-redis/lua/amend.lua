--[[
amend: a goal gets another DAG, and no task loses its state that is not to be done again. The difference was found by the caller in
the DAG of a revision that it read; if that is not the stored one, nothing is written.

KEYS[1]  epoch          <prefix>epoch; the prefix of all keys follows from it
ARGV[1]  where          "", or the number of the database and "/"; in tests the time, milliseconds since the Unix epoch
ARGV[2]  goal           its id
ARGV[3]  revision       the one that the caller amends
ARGV[4]  request        names the request
ARGV[5]  max_attempts   for new nodes that say nothing about it
ARGV[6]  digest         of the new DAG
ARGV[7]  spent          calls, input_tokens, output_tokens, cost_micros by spaces; "" for nothing
ARGV[8]  seen           the revision that the difference starts from
ARGV[9]  change         JSON: reason and data (of the event), removed, removed_reason, added (each: id,
                        node, dependencies, dependants, needs, priority, waits_for, attempts?), redone (each:
                        id, why, waits_for, more, reason), again (ids), rewired (each: id, waits_for), changed
                        (each: id, node, needs, priority?), links (each: id, dependencies, dependants), order

Returns  {"goal", fields}
         {"missing"}                no such goal
         {"conflict", revision}     the goal is at another revision; nothing was written
         {"again"}                  the difference is of another revision: read again
         {"taken", task, goal, …}   other goals hold these ids; nothing was written
         {"removing", goal}         the removal of this one has to be finished first; nothing was written
]]
local id = ARGV[2]
local goal = goal_of(id)
if not goal then
  return { 'missing' }
end
if goal.amended_by == ARGV[4] then
  return { 'goal', flat(goal) }
end
if goal.revision ~= tonumber(ARGV[3]) then
  return { 'conflict', int(goal.revision) }
end
if goal.revision ~= tonumber(ARGV[8]) then
  return { 'again' }
end
local change = cjson.decode(ARGV[9])
local held, removing = taken(id, change.order)
if removing then
  return { 'removing', removing }
end
if #held > 0 then
  return { 'taken', unpack(held, 1, min(#held, 4000)) }
end

goal.amended_by = ARGV[4]
goal.max_attempts = tonumber(ARGV[5])
goal.called_off = false
goal.revision = goal.revision + 1
goal.digest = ARGV[6]
spend(id, ARGV[7])
say('goal.amended', { goal = id, reason = change.reason, data = change.data })

local dag = P .. 'dag:' .. id
for _, removed in ipairs(change.removed) do
  local task = task_of(removed)
  -- Finished ones have nothing to call off.
  task = make(removed, task, 'cancel', { reason = change.removed_reason }) or task
  put_task(removed, task, nil)
  count(id, task.status, -1)
  forget_token(task.token)
  call('DEL', P .. 'task:' .. removed .. ':errors')
  call('HDEL', dag .. ':nodes', removed)
  call('HDEL', dag .. ':deps', removed)
  call('HDEL', dag .. ':dependants', removed)
  call('ZREM', dag .. ':tasks', removed)
end

local again = {}
for _, task in ipairs(change.again) do
  again[task] = true
end

-- How many of these are not done. Those that are yet to be added are not, nor those that are done again.
local function open(waits_for)
  local number = 0
  for _, dependency in ipairs(waits_for) do
    if again[dependency] or call('HGET', P .. 'task:' .. dependency, 'status') ~= 'done' then
      number = number + 1
    end
  end
  return number
end

for _, redone in ipairs(change.redone) do
  redone.open = open(redone.waits_for)
  make(redone.id, task_of(redone.id), 'redo', redone)
end
for _, added in ipairs(change.added) do
  added.open = open(added.waits_for)
end
for _, added in ipairs(change.added) do
  add(id, goal, added.id, added)
end
for _, rewired in ipairs(change.rewired) do
  make(rewired.id, task_of(rewired.id), 'rewire', open(rewired.waits_for))
end
for _, changed in ipairs(change.changed) do
  local old = task_of(changed.id)
  local new = draft(old)
  -- A priority that a person gave stays, unless the plan itself gives another.
  if changed.priority and not finished(old) then
    new.priority = changed.priority
  end
  new.needs = changed.needs
  new.own_attempts = changed.attempts or false
  put_task(changed.id, old, new)
  call('HSET', dag .. ':nodes', changed.id, changed.node)
end
for _, link in ipairs(change.links) do
  put_links(id, link.id, link.dependencies, link.dependants)
  mark_waited(link.id, link.dependants)
end
reorder(id, change.order)
evaluate(id)
finish()
return { 'goal', flat(goal) }
