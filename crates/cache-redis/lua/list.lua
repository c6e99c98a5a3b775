--[[
list: documents whose key begins so, by key.

KEYS[1]  epoch          <prefix>epoch; the prefix of all keys follows from it
ARGV[1]  where          "", or the number of the database and "/"; in tests the time, milliseconds since the Unix epoch
ARGV[2]  beginning      of the keys
ARGV[3]  limit          at most this many

Returns  {"records", {key, version, updated_at, value}, …}
]]
local reply = { 'records' }
local to = '(' .. ARGV[2] .. '\255'
for _, key in ipairs(call('ZRANGEBYLEX', P .. 'index:records', '[' .. ARGV[2], to, 'LIMIT', 0, ARGV[3])) do
  local record = call('HMGET', P .. 'record:' .. key, 'version', 'updated_at', 'value')
  reply[#reply + 1] = { key, record[1], record[2], record[3] }
end
return reply
