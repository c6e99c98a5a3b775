--[[
remove: forgets a finished goal. The first call makes it and its tasks invisible, whatever their number;
this and each later call forgets a part of the tasks, so that no call keeps the server for long. The key
removing:<goal> says what is left.

KEYS[1]  epoch          <prefix>epoch; the prefix of all keys follows from it
ARGV[1]  where          "", or the number of the database and "/"; in tests the time, milliseconds since the Unix epoch
ARGV[2]  goal           its id
ARGV[3]  ended_at       only if it came to rest at this moment; "" whenever that was
ARGV[4]  part           how many tasks to forget in this call
ARGV[5]  begin          "1" to remove the goal if it is there; "0" only to go on with what was begun

Returns  {"removed", tasks, more}      tasks: how many the goal had, 0 if it was not there; more: 1 or 0
         {"unfinished", status}        something of it may still move; nothing was written
         {"conflict", ended_at}        it came to rest at another moment; nothing was written
]]
local id = ARGV[2]
local goal = ARGV[5] == '1' and goal_of(id)
local tasks = 0
if goal then
  if goal.status ~= 'complete' and goal.status ~= 'failed' and goal.status ~= 'cancelled' then
    return { 'unfinished', goal.status }
  end
  if ARGV[3] ~= '' and tonumber(ARGV[3]) ~= goal.ended_at then
    return { 'conflict', int(goal.ended_at or 0) }
  end
  tasks = total(goal)
  goals[id] = nil
  -- First what may fail, where somebody else wrote the log: then nothing of the goal is gone.
  say('goal.removed', {
    goal = id,
    reason = goal.status .. ' with ' .. int(tasks) .. ' tasks',
    data = format('{"tasks":%.0f,"status":"%s","digest":%s}', tasks, goal.status, cjson.encode(goal.digest)),
  })
  append('events', told)
  told = {}
  local dag = P .. 'dag:' .. id
  call('DEL', P .. 'goal:' .. id)
  call('ZREM', P .. 'index:goals', id)
  for _, needs in ipairs(call('SMEMBERS', P .. 'index:needs:' .. id)) do
    -- Of a goal below it something may be ready.
    if call('EXISTS', P .. 'index:ready:' .. id .. ':' .. needs) == 0 then
      call('ZREM', P .. 'index:ready', id .. ':' .. needs)
      call('SREM', P .. 'index:needs:' .. id, needs)
    end
  end
  call('UNLINK', dag .. ':nodes', dag .. ':deps', dag .. ':dependants', dag .. ':order')
  if call('EXISTS', dag .. ':tasks') == 1 then
    call('RENAME', dag .. ':tasks', P .. 'removing:' .. id)
    call('ZADD', P .. 'index:removing', 0, id)
  end
end
local more = forget_part(id, tonumber(ARGV[4]))
finish()
return { 'removed', int(tasks), more and 1 or 0 }
