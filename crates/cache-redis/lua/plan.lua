--[[
plan: a goal gets its DAG, everything or nothing.

KEYS[1]  epoch          <prefix>epoch; the prefix of all keys follows from it
ARGV[1]  where          "", or the number of the database and "/"; in tests the time, milliseconds since the Unix epoch
ARGV[2]  goal           its id
ARGV[3]  title          what it is called
ARGV[4]  request        names the request
ARGV[5]  max_attempts   for nodes that say nothing about it
ARGV[6]  digest         of the DAG
ARGV[7]  spent          calls, input_tokens, output_tokens, cost_micros by spaces; "" for nothing
ARGV[8]  parent_goal    of the task that owns the goal; "" when it is below none
ARGV[9]  parent_task    that task, or ""
ARGV[10] root           the goal above all others, or ""
ARGV[11] declared       the declared goal that it was made from, or ""
ARGV[12] tasks          the first of four arguments for each task, in the order of the draft: id, node
                        (JSON), dependencies (JSON), and what is not as usual: "", or with tabs between its
                        priority, open, its own attempts or "", needs (by commas), dependants (by spaces)

Returns  {"goal", fields}
         {"unopened"}           as any verb may answer
         {"exists"}             the goal has a DAG from another request; nothing was written
         {"taken", task, goal, …}   other goals hold these ids; nothing was written
         {"removing", goal}         the removal of this one has to be finished first; nothing was written
]]
local TASKS = 12
if is_replaced() then
  return { 'unopened' }
end
local id = ARGV[2]
local goal = goal_of(id)
if goal then
  if goal.planned_by == ARGV[4] then
    return { 'goal', flat(goal) }
  end
  return { 'exists' }
end
if call('EXISTS', P .. 'removing:' .. id) == 1 then
  return { 'removing', id }
end
local ids = {}
for at = TASKS, #ARGV, 4 do
  ids[#ids + 1] = ARGV[at]
end
local held, removing = taken(id, ids)
if removing then
  return { 'removing', removing }
end
if #held > 0 then
  return { 'taken', unpack(held, 1, min(#held, 4000)) }
end

goal = {
  id = id, title = ARGV[3], status = 'active', revision = 1, digest = ARGV[6],
  blocked = 0, ready = 0, waiting = 0, running = 0, done = 0, failed = 0, cancelled = 0,
  calls = 0, input_tokens = 0, output_tokens = 0, cost_micros = 0,
  created_at = NOW, planned_by = ARGV[4], max_attempts = tonumber(ARGV[5]),
}
if ARGV[8] ~= '' then
  goal.parent_goal, goal.parent_task, goal.root = ARGV[8], ARGV[9], ARGV[10]
  goal.declared = ARGV[11] ~= '' and ARGV[11] or nil
end
-- A goal of this id may have been removed, and goals that were below it are still there.
for _, needs in ipairs(call('SMEMBERS', P .. 'index:needs:' .. id)) do
  goal.below = (goal.below or 0) + call('ZCARD', P .. 'index:ready:' .. id .. ':' .. needs)
end
goals[id] = goal
spend(id, ARGV[7])
call('ZADD', P .. 'index:goals', 0, id)
add_all(id, goal, ARGV, TASKS)
say('goal.planned', {
  goal = id,
  reason = format('%.0f tasks, %.0f ready', total(goal), goal.ready),
  data = format('{"tasks":%.0f,"ready":%.0f,"digest":%s%s}', total(goal), goal.ready,
    cjson.encode(goal.digest), ARGV[8] == '' and '' or
    format(',"parent":{"goal":%s,"task":%s}', cjson.encode(ARGV[8]), cjson.encode(ARGV[9]))),
})
evaluate(id)
finish()
return { 'goal', flat(goal) }
