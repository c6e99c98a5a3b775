--[[
beat: an agent lives, and says what it does.

KEYS[1]  epoch          <prefix>epoch; the prefix of all keys follows from it
ARGV[1]  where          "", or the number of the database and "/"; in tests the time, milliseconds since the Unix epoch
ARGV[2]  name           of the agent
ARGV[3]  incarnation    which life of it
ARGV[4]  phase          what it does
ARGV[5]  task           on which task, or ""
ARGV[6]  told           "1" if an event tells that it entered this phase, or is in it for another task

Returns  {"heard", paused, silent_from}   1 or 0; milliseconds since the Unix epoch
         {"replaced"}                     another incarnation, or none
]]
local name = ARGV[2]
local old = agent_of(name)
if not may_beat(old, ARGV[3]) then
  return { 'replaced' }
end
local agent = draft(old)
agent.phase = ARGV[4]
agent.task = ARGV[5] ~= '' and ARGV[5]
agent.last_beat = NOW
agent.silent = false
put_agent(name, old, agent)
if ARGV[6] == '1' and (old.phase ~= agent.phase or (old.task or '') ~= ARGV[5]) then
  say('agent.phase', {
    agent = name,
    task = agent.task or nil,
    data = '{"phase":"' .. agent.phase .. '","from":"' .. old.phase .. '"}',
  })
end
finish()
return { 'heard', paused(name) and 1 or 0, int(silent_from(agent)) }
