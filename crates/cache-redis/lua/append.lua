--[[
append: adds entries to a stream, together and in order.

KEYS[1]  epoch          <prefix>epoch; the prefix of all keys follows from it
ARGV[1]  where          "", or the number of the database and "/"; in tests the time, milliseconds since the Unix epoch
ARGV[2]  stream         its name
ARGV[3]  request        names the request
ARGV[4]  entries        the first of them: each is the number of the arguments that follow for it, then
                        kind, goal, task, agent, token and attempt by spaces, `-` for none, and names and
                        values of its other fields by turns

Returns  {"last", number}   of the last entry; of the first answer if the request is repeated
]]
local head = P .. 'stream:' .. ARGV[2] .. ':head'
local newest = call('HMGET', head, 'request', 'request_last')
if newest[1] == ARGV[3] then
  return { 'last', newest[2] }
end
local entries, at = {}, 4
while at <= #ARGV do
  local number = tonumber(ARGV[at])
  local entry = { unpack(ARGV, at + 1, at + number) }
  entry[1] = NOW_TEXT .. ' ' .. entry[1]
  entries[#entries + 1] = entry
  at = at + 1 + number
end
local last = sub(append(ARGV[2], entries), 3)
call('HSET', head, 'request', ARGV[3], 'request_last', last)
return { 'last', last }
