--[[
renew: the holder of the newest token gets more time.

KEYS[1]  epoch          <prefix>epoch; the prefix of all keys follows from it
ARGV[1]  where          "", or the number of the database and "/"; in tests the time, milliseconds since the Unix epoch
ARGV[2]  task           its id
ARGV[3]  token          the caller's fencing token
ARGV[4]  ttl            milliseconds
ARGV[5]  has_progress   "1" if there is news
ARGV[6]  progress       how far the holder is

Returns  {"renewed", expires_at}
         {"missing"}                  no such task
         {"lost", presented, current, holder}   a newer token exists, or this one was spent; "" if nobody holds it
]]
local id = ARGV[2]
local task = task_of(id)
if not task then
  return { 'missing' }
end
local expires_at = later(NOW, tonumber(ARGV[4]))
local new, refusal = make_alone(id, task, 'renew', {
  token = tonumber(ARGV[3]),
  expires_at = expires_at,
  progress = ARGV[5] == '1' and ARGV[6] or nil,
})
if not new then
  return refusal
end
finish()
return { 'renewed', int(expires_at) }
