--[[
claim: the best task that an agent may take, or the one that it names.

KEYS[1]  epoch          <prefix>epoch; the prefix of all keys follows from it
ARGV[1]  where          "", or the number of the database and "/"; in tests the time, milliseconds since the Unix epoch
ARGV[2]  agent          who asks
ARGV[3]  incarnation    which life of it
ARGV[4]  request        names the request
ARGV[5]  ttl            milliseconds
ARGV[6]  goal           only of this one and of those below it; "" for any
ARGV[7]  task           this one and no other; "" for the best
ARGV[8]  capabilities   of the agent, by commas
ARGV[9]  avoid          none of these tasks, by commas

Returns  {"granted", task, goal, token, attempt, max_attempts, claimed_at, expires_at, last_error,
         last_error_detail, node}       of an error "+" and its text, else ""; node: JSON
         {"nothing", paused, next_due}  1 or 0; milliseconds since the Unix epoch or ""
         {"replaced"}                   the name has another incarnation, or ended
         {"missing"}                    no such task
         {"tokens"}                     fencing tokens are used up
]]
local reply = claim({
  agent = ARGV[2], incarnation = ARGV[3], request = ARGV[4], ttl = tonumber(ARGV[5]), goal = ARGV[6],
  task = ARGV[7], capabilities = ARGV[8], avoid = ARGV[9],
})
finish()
return reply
