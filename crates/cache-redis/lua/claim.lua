--[[
claim: the best task that an agent may take, or the one that it names.

KEYS[1]  epoch          <prefix>epoch; the prefix of all keys follows from it
ARGV[1]  where          "", or the number of the database and "/"; in tests the time, milliseconds since the Unix epoch
ARGV[2]  agent          who asks
ARGV[3]  incarnation    which life of it
ARGV[4]  request        names the request
ARGV[5]  ttl            milliseconds
ARGV[6]  goal           only of this one and of those below it; "" for any. From here on what is "" may be left out
                        at the end
ARGV[7]  task           this one and no other; "" for the best
ARGV[8]  capabilities   of the agent, by commas
ARGV[9]  avoid          none of these tasks, by commas

Returns  {"granted", words, node, last_error, detail}   by spaces: task, goal, token, attempt, max_attempts,
                                        claimed_at, expires_at; node: JSON; the last two if it failed before:
                                        the error, and "+" and its detail, or ""
         {"nothing", paused, next_due}  1 or 0; milliseconds since the Unix epoch or ""
         {"replaced"}                   the name has another incarnation, or ended
         {"missing"}                    no such task
         {"tokens"}                     fencing tokens are used up
]]
local reply = claim(asked(ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9]))
finish()
return reply
