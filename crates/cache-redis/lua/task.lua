--[[
task: one task with its failed attempts.

KEYS[1]  epoch          <prefix>epoch; the prefix of all keys follows from it
ARGV[1]  where          "", or the number of the database and "/"; in tests the time, milliseconds since the Unix epoch
ARGV[2]  task           its id

Returns  {"task", {task, fields, node}, errors}   errors: JSON each, oldest first
         {"missing"}
]]
local task = task_of(ARGV[2])
if not task then
  return { 'missing' }
end
return { 'task', told_task(ARGV[2], task), call('LRANGE', P .. 'task:' .. ARGV[2] .. ':errors', 0, -1) }
