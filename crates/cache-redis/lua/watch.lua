--[[
watch: the number of a topic as it is now. From then on the next one is said on its channel.

KEYS[1]  epoch          <prefix>epoch; the prefix of all keys follows from it
ARGV[1]  where          "", or the number of the database and "/"; in tests the time, milliseconds since the Unix epoch
ARGV[2]  stream         its name; "" for work that may be claimed

Returns  {"number", number}
]]
local stream = ARGV[2]
if stream == '' then
  here.quiet[''] = nil
  return { 'number', call('GET', P .. 'index:work') or '0' }
end
here.quiet[stream] = nil
return { 'number', last_of(stream) }
