--[[
dag: a goal with its DAG.

KEYS[1]  epoch          <prefix>epoch; the prefix of all keys follows from it
ARGV[1]  where          "", or the number of the database and "/"; in tests the time, milliseconds since the Unix epoch
ARGV[2]  goal           its id

Returns  {"dag", fields, order, nodes, dependants}   nodes and dependants: id and value by turns
         {"missing"}
]]
local goal = goal_of(ARGV[2])
if not goal then
  return { 'missing' }
end
local key = P .. 'dag:' .. ARGV[2]
return {
  'dag',
  flat(goal),
  call('LRANGE', key .. ':order', 0, -1),
  call('HGETALL', key .. ':nodes'),
  call('HGETALL', key .. ':dependants'),
}
