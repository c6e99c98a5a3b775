--[[
read: entries of a stream behind a number, and where the stream begins by now.

KEYS[1]  epoch          <prefix>epoch; the prefix of all keys follows from it
ARGV[1]  now            milliseconds since the Unix epoch, only in tests; "" for the server's time
ARGV[2]  stream         its name
ARGV[3]  first          the least number that is wanted
ARGV[4]  limit          at most this many

Returns  {"page", first, entries}   the number of the oldest entry that is kept; entries as of XRANGE
]]
local key = P .. 'stream:' .. ARGV[2]
local oldest = call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
local limit = tonumber(ARGV[4])
if not oldest then
  return { 'page', int(tonumber(last_of(ARGV[2])) + 1), {} }
end
local entries = {}
if limit > 0 and ARGV[3] ~= '' then
  entries = call('XRANGE', key, '0-' .. ARGV[3], '+', 'COUNT', limit)
end
return { 'page', sub(oldest[1], 3), entries }
