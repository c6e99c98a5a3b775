--[[
agents: one agent, or all that ever registered, by name.

KEYS[1]  epoch          <prefix>epoch; the prefix of all keys follows from it
ARGV[1]  where          "", or the number of the database and "/"; in tests the time, milliseconds since the Unix epoch
ARGV[2]  name           of one; "" for all

Returns  {"agents", now, {name, fields, paused}, …}
]]
local names = { ARGV[2] }
if ARGV[2] == '' then
  names = call('ZRANGE', P .. 'index:agents', 0, -1)
end
local reply = { 'agents', NOW_TEXT }
for _, name in ipairs(names) do
  local agent = agent_of(name)
  if agent then
    reply[#reply + 1] = told_agent(name, agent)
  end
end
return reply
