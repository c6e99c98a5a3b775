--[[
errors: what went wrong in attempts of an agent.

KEYS[1]  epoch          <prefix>epoch; the prefix of all keys follows from it
ARGV[1]  now            milliseconds since the Unix epoch, only in tests; "" for the server's time
ARGV[2]  name           of the agent

Returns  {"errors", list}   JSON each, oldest first
]]
return { 'errors', call('LRANGE', P .. 'agent:' .. ARGV[2] .. ':errors', 0, -1) }
