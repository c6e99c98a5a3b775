--[[
hold: takes, renews or gives back a named lease.

KEYS[1]  epoch          <prefix>epoch; the prefix of all keys follows from it
ARGV[1]  where          "", or the number of the database and "/"; in tests the time, milliseconds since the Unix epoch
ARGV[2]  verb           acquire, renew or release
ARGV[3]  name           of the lease
ARGV[4]  holder         who has it or wants it
ARGV[5]  token          of the holder; "" to acquire
ARGV[6]  ttl            milliseconds; "" to release

Returns  {"held", token, expires_at}
         {"unopened"}            as any verb may answer
         {"busy"}                somebody else has it
         {"conflict", current}   the token is not the newest, or was given back
         {"released"}            also when there was nothing to give back
         {"tokens"}              fencing tokens are used up
]]
if is_replaced() then
  return { 'unopened' }
end
local verb, holder = ARGV[2], ARGV[4]
local key = P .. 'hold:' .. ARGV[3]
local old = read(key)
-- Since history was lost somebody else may have held it, too.
local lost = old and old.token < tonumber(call('HGET', P .. 'epoch:taken', 'lost') or '0')
local own = old and not lost and old.held == '1' and old.holder == holder and old.token == tonumber(ARGV[5])
if verb == 'release' then
  if own then
    call('HSET', key, 'held', '0')
  end
  return { 'released' }
end
local expires_at = later(NOW, tonumber(ARGV[6]))
if verb == 'renew' then
  if not own then
    return { 'conflict', old and int(old.token) or '0' }
  end
  call('HSET', key, 'expires_at', int(expires_at))
  return { 'held', int(old.token), int(expires_at) }
end
local token = old and old.token or 0
if old and old.held == '1' and old.expires_at > NOW then
  if old.holder ~= holder then
    return { 'busy' }
  end
end
if not old or lost or old.held ~= '1' or old.expires_at <= NOW then
  local floor = EPOCH * 67108864
  if floor >= EXACT then
    return { 'tokens' }
  end
  token = max(token, floor) + 1
end
call('HSET', key, 'holder', holder, 'token', int(token), 'expires_at', int(expires_at), 'held', '1')
return { 'held', int(token), int(expires_at) }
