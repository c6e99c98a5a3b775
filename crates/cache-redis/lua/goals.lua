--[[
goals: one goal, or all by id.

KEYS[1]  epoch          <prefix>epoch; the prefix of all keys follows from it
ARGV[1]  where          "", or the number of the database and "/"; in tests the time, milliseconds since the Unix epoch
ARGV[2]  goal           the id of one; "" for all

Returns  {"goals", fields, …}
]]
local ids = { ARGV[2] }
if ARGV[2] == '' then
  ids = call('ZRANGE', P .. 'index:goals', 0, -1)
end
local reply = { 'goals' }
for _, id in ipairs(ids) do
  local goal = goal_of(id)
  if goal then
    goal.id = id
    reply[#reply + 1] = flat(goal)
  end
end
return reply
