--[[
store: writes a document if it still has the version that the caller read.

KEYS[1]  epoch          <prefix>epoch; the prefix of all keys follows from it
ARGV[1]  where          "", or the number of the database and "/"; in tests the time, milliseconds since the Unix epoch
ARGV[2]  key            of the document
ARGV[3]  expected       the version that was read; "0" for none
ARGV[4]  present        "1" to write, "0" to remove
ARGV[5]  value          what it shall say
ARGV[6]  writer         names this write, so that sending it again after a lost answer is harmless

Returns  {"stored", version}
         {"conflict", version}   it has this one; nothing was written
]]
local key = P .. 'record:' .. ARGV[2]
local stored = call('HMGET', key, 'version', 'value', 'writer')
if stored[3] == ARGV[6] then
  return { 'stored', stored[1] }
end
local current = stored[2] and stored[1] or '0'
if ARGV[3] ~= current then
  return { 'conflict', current }
end
local version = int(tonumber(stored[1] or '0') + 1)
call('HSET', key, 'version', version, 'updated_at', NOW_TEXT, 'writer', ARGV[6])
if ARGV[4] == '1' then
  call('HSET', key, 'value', ARGV[5])
  call('ZADD', P .. 'index:records', 0, ARGV[2])
else
  call('HDEL', key, 'value')
  call('ZREM', P .. 'index:records', ARGV[2])
end
return { 'stored', version }
