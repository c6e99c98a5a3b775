--[[
open: takes a new epoch when this is another server process than the last one that the store was opened
on: history may have been lost with it, and no token may be handed out twice. Every connection begins
with this script, and so does every loading of scripts.

KEYS[1]  epoch          <prefix>epoch; the prefix of all keys follows from it
ARGV[1]  run            the run id of the server
ARGV[2]  events         how many entries the log keeps
ARGV[3]  others         how many entries every other stream keeps

Returns  {"opened", epoch}
]]
local call = redis.call
local prefix = string.sub(KEYS[1], 1, -6)
local epoch = call('GET', KEYS[1])
if not epoch or call('GET', prefix .. 'epoch:run') ~= ARGV[1] then
  epoch = call('INCR', KEYS[1])
  call('SET', prefix .. 'epoch:run', ARGV[1])
  -- The number of work only grows, also over epochs.
  local floor = epoch * 4294967296
  if floor > tonumber(call('GET', prefix .. 'index:work') or '0') then
    call('SET', prefix .. 'index:work', string.format('%.0f', floor))
  end
end
call('HSET', prefix .. 'limits', 'events', ARGV[2], 'others', ARGV[3])
return { 'opened', tonumber(epoch) }
