--[[
batch: several verbs of one process in one call, one after the other. Each has its own answer, and none
undoes another; what they share (the time, the epoch, counts, leases, news) is looked at and written once.

KEYS[1]  epoch          <prefix>epoch; the prefix of all keys follows from it
ARGV[1]  where          "", or the number of the database and "/"; in tests the time, milliseconds since the Unix epoch
ARGV[2]  verbs          the first of the verbs: a name, how many arguments follow, and those of the verb from
                        its second on

Returns  {"batch", answer, …}   one for each verb, as it gives it; {"alone"} for one that failed: called alone
                                it says why
]]
local VERBS = 2
together = true
local replies, size = { 'batch' }, #ARGV
local at = VERBS
while at <= size do
  local last = at + 1 + tonumber(ARGV[at + 1])
  replies[#replies + 1] = run_among(ARGV[at], { ARGV[1], unpack(ARGV, at + 2, last) })
  at = last + 1
end
write_all()
nodes.tell()
return replies
