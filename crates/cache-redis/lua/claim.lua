--[[
claim: the best task that an agent may take, or the one that it names.

KEYS[1]  epoch          <prefix>epoch; the prefix of all keys follows from it
ARGV[1]  now            milliseconds since the Unix epoch, only in tests; "" for the server's time
ARGV[2]  claim          JSON: agent, incarnation, request, capabilities, ttl (ms), goal?, task?

Returns  {"granted", {task, fields, node}}
         {"nothing", paused, next_due}   1 or 0; milliseconds since the Unix epoch or ""
         {"replaced"}                    the name has another incarnation, or ended
         {"missing"}                     no such task
         {"tokens"}                      fencing tokens are used up
]]
local reply = claim(cjson.decode(ARGV[2]))
finish()
return reply
