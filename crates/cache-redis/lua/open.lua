--[[
open: takes a new epoch when this is another server process than the last one that the store was opened
on: history may have been lost with it, and no token may be handed out twice. A process that was not
opened refuses every other verb.

KEYS[1]  epoch          <prefix>epoch; the prefix of all keys follows from it
ARGV[1]  now            as of all verbs; says only which deployment is meant
ARGV[2]  run            the run id of the server

Returns  {"opened", epoch}
]]
local prefix = string.sub(KEYS[1], 1, -6)
local place = tonumber(ARGV[1]) and prefix or ARGV[1] .. prefix
local stored, known = tonumber(call('GET', KEYS[1]) or ''), epochs[place]
local epoch = stored
if not stored or call('GET', prefix .. 'epoch:run') ~= ARGV[2] or (known and known ~= stored) then
  epoch = math.max(stored or 0, known or 0) + 1
  call('SET', KEYS[1], int(epoch))
  call('SET', prefix .. 'epoch:run', ARGV[2])
  -- The number of work only grows, also over epochs.
  local floor = epoch * 4294967296
  if floor > tonumber(call('GET', prefix .. 'index:work') or '0') then
    call('SET', prefix .. 'index:work', int(floor))
  end
end
epochs[place], dues[place] = epoch, nil
return { 'opened', int(epoch) }
