--[[
tasks: tasks of a goal in the order of its plan, a page at a time.

KEYS[1]  epoch          <prefix>epoch; the prefix of all keys follows from it
ARGV[1]  where          "", or the number of the database and "/"; in tests the time, milliseconds since the Unix epoch
ARGV[2]  goal           its id
ARGV[3]  status         only those that stand here; "" for all
ARGV[4]  after          only those behind this ordinal; "" for all
ARGV[5]  limit          at most this many

Returns  {"tasks", {task, fields, node}, …}
         {"missing"}   no such goal
]]
if call('EXISTS', P .. 'goal:' .. ARGV[2]) == 0 then
  return { 'missing' }
end
local reply, limit = { 'tasks' }, tonumber(ARGV[5])
local from = ARGV[4] == '' and '-inf' or '(' .. ARGV[4]
local offset = 0
while #reply <= limit do
  local ids = call('ZRANGEBYSCORE', P .. 'dag:' .. ARGV[2] .. ':tasks', from, '+inf', 'LIMIT', offset, 512)
  if #ids == 0 then
    break
  end
  for _, id in ipairs(ids) do
    local status = call('HGET', P .. 'task:' .. id, 'status')
    if #reply <= limit and status and (ARGV[3] == '' or ARGV[3] == status) then
      reply[#reply + 1] = told_task(id, task_of(id))
    end
  end
  offset = offset + #ids
end
return reply
