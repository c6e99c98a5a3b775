--[[
ready: what could be claimed now, best first, without claiming it.

KEYS[1]  epoch          <prefix>epoch; the prefix of all keys follows from it
ARGV[1]  where          "", or the number of the database and "/"; in tests the time, milliseconds since the Unix epoch
ARGV[2]  goal           only of this one; "" for all
ARGV[3]  capabilities   by commas
ARGV[4]  limit          at most this many

Returns  {"tasks", {task, fields, node}, …}
]]
local reply = { 'tasks' }
for _, id in ipairs(best(ARGV[2], set_of(ARGV[3]), tonumber(ARGV[4]))) do
  reply[#reply + 1] = told_task(id, task_of(id))
end
return reply
