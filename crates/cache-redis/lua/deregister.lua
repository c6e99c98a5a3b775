--[[
deregister: an agent ends, and its leases are freed.

KEYS[1]  epoch          <prefix>epoch; the prefix of all keys follows from it
ARGV[1]  where          "", or the number of the database and "/"; in tests the time, milliseconds since the Unix epoch
ARGV[2]  name           of the agent
ARGV[3]  incarnation    which life of it
ARGV[4]  reason         why it ended, as it is kept
ARGV[5]  told           the same, as its event says it
ARGV[6]  moved          the same, as the moves of its tasks say it
ARGV[7]  limit          of interruptions that cost no attempt; "" if it left by itself
ARGV[8]  phase          "stopped", or "quarantined" if it is not started again
ARGV[9]  exit           with what it ended: a JSON object, not an empty one

Returns  {"freed", tasks}   a list
]]
local name = ARGV[2]
local old = agent_of(name)
if not may_beat(old, ARGV[3]) then
  return { 'freed', {} }
end
local limit = tonumber(ARGV[7])
local freed = free(name, ARGV[3], limit and 'interrupt' or 'drop', { reason = ARGV[6], limit = limit })
local agent = draft(old)
agent.phase = ARGV[8]
agent.end_reason = ARGV[4]
put_agent(name, old, agent)
say('agent.terminated', {
  agent = name,
  reason = ARGV[5],
  data = '{"generation":' .. (old.generation or '1') .. ',' .. ARGV[9]:sub(2),
})
if agent.phase == 'quarantined' then
  say('agent.quarantined', { agent = name, reason = ARGV[5] })
end
finish()
return { 'freed', freed }
