--[[
remember: keeps an agent's memory, unless another incarnation has the name.

KEYS[1]  epoch          <prefix>epoch; the prefix of all keys follows from it
ARGV[1]  where          "", or the number of the database and "/"; in tests the time, milliseconds since the Unix epoch
ARGV[2]  name           of the agent
ARGV[3]  incarnation    which life of it
ARGV[4]  snapshot       what to keep

Returns  {"kept"}
         {"replaced"}   nothing was written
]]
local registered = call('HGET', P .. 'agent:' .. ARGV[2] .. ':registered', 'incarnation')
if registered and registered ~= ARGV[3] then
  return { 'replaced' }
end
call('SET', P .. 'agent:' .. ARGV[2] .. ':memory', ARGV[4])
return { 'kept' }
