--[[
open: takes a new epoch when the server's history is another one than that on which the store was opened
last: something may have been lost with it, and no token may be handed out twice. Where something is lost,
those who hold a task since before are refused from now on. Every connection begins with it, and a
process that was not opened refuses every other verb.

KEYS[1]  epoch          <prefix>epoch; the prefix of all keys follows from it
ARGV[1]  where          as of all verbs; says only which deployment is meant
ARGV[2]  seen           the greatest epoch that the caller was ever told; 0 for none
ARGV[3]  events         how many entries the log keeps
ARGV[4]  others         how many entries every other stream keeps

Returns  {"opened", epoch, refused}   refused: how many tasks were taken from their holders; "" when
                                      nothing is known to be lost
         {"garbage", key, what}       this key holds something else than a number in its bounds
         {"newer", layout, known}     a later version of Downbeat laid the store out; this one knows less
         {"older"}                    a version from before the first release laid it out
]]
local prefix = sub(KEYS[1], 1, -6)
local place = tonumber(ARGV[1]) and prefix or ARGV[1] .. prefix
-- Look first: what is refused is left as it is.
local function number_at(key, bound)
  local kind = call('TYPE', key).ok
  if kind == 'none' then
    return 0
  end
  if kind ~= 'string' then
    return nil, 'it is a ' .. kind
  end
  local text = call('GET', key)
  local number = #text <= 15 and match(text, '^%d+$') and tonumber(text)
  if not number or number > bound then
    return nil, 'it says `' .. string.gsub(sub(text, 1, 40), '[^%w%p ]', '?') .. '`'
  end
  return number
end
-- The layout of the keys in docs/keys.md. It grows when what is stored could be misread by a version before.
local LAYOUT = 1
local layout, what = number_at(prefix .. 'layout', EXACT)
if not layout then
  return { 'garbage', prefix .. 'layout', what }
elseif layout > LAYOUT then
  return { 'newer', int(layout), int(LAYOUT) }
end
local epoch
-- Its greatest value leaves no room for the next one.
epoch, what = number_at(KEYS[1], 134217726)
if not epoch then
  return { 'garbage', KEYS[1], what }
end
if layout == 0 and epoch > 0 then
  return { 'older' }
end
call('SET', prefix .. 'layout', int(LAYOUT))
call('HSET', prefix .. 'limits', 'events', ARGV[3], 'others', ARGV[4])
local function info(section, field)
  return match(call('INFO', section), '\n' .. field .. ':([^\r\n]*)') or ''
end
local run, history = info('server', 'run_id'), info('replication', 'master_replid')
-- This process was told, too, when the store was put in its place under it.
local known = deployments[place]
local seen = max(tonumber(ARGV[2]), known and known.epoch or 0)
local last = call('HMGET', prefix .. 'epoch:taken', 'run', 'history')
-- The epoch stands where a claim looks anyhow, too.
local function is_now(number)
  local mark = '!' .. int(number)
  if not known then
    known = {
      prefix = prefix, quiet = {}, over = {}, overs = 0, ready = prefix .. 'index:ready',
      events = prefix .. 'stream:events',
    }
    deployments[place] = known
  end
  if known.epoch ~= number then
    -- Another store may lie here than the one that this was seen in.
    known.over, known.overs, known.quiet = {}, 0, {}
  end
  known.epoch, known.mark, known.due = number, mark, nil
  if not call('ZSCORE', prefix .. 'index:ready', mark) then
    call('ZREMRANGEBYSCORE', prefix .. 'index:ready', '-inf', '-inf')
    call('ZADD', prefix .. 'index:ready', '-inf', mark)
  end
end
if epoch > 0 and epoch >= seen and last[1] == run and last[2] == history then
  is_now(epoch)
  return { 'opened', int(epoch), '' }
end

-- Lost is what only another master had; what a process without an append-only file had; what somebody was
-- told and is not there.
local promoted = last[2] ~= history and find(info('replication', 'master_replid2'), '[^0]') ~= nil
local forgot = last[1] ~= run and info('persistence', 'aof_enabled') ~= '1'
local lost = epoch < seen or (epoch > 0 and (promoted or forgot))

-- By the clock an epoch is greater than any before, also those that a restored snapshot does not know of.
-- Units of 16 seconds since 2026 fill the 27 bits in the year 2094.
local clock = floor((tonumber(call('TIME')[1]) - 1767225600) / 16)
epoch = max(epoch + 1, seen + 1, clock)
is_now(epoch)
call('SET', KEYS[1], int(epoch))
call('HSET', prefix .. 'epoch:taken', 'run', run, 'history', history)
local floor = epoch * 67108864
-- The number of work only grows, also over epochs.
if floor > tonumber(call('GET', prefix .. 'index:work') or '0') then
  call('SET', prefix .. 'index:work', int(floor))
end
if not lost then
  return { 'opened', int(epoch), '' }
end

-- A token that nobody was given: whoever holds the task is refused, and its lease ends in its time.
local refused = 0
for _, agent in ipairs(call('ZRANGE', prefix .. 'index:leases', 0, -1)) do
  local held = call('HGET', prefix .. 'index:agent:' .. agent, 'held') or ''
  for id in gmatch(held, '\t([^\n]+)') do
    local task = prefix .. 'task:' .. id
    local stored = call('HMGET', task, 'status', 'owner', 'token')
    if stored[1] == 'running' and stored[2] == agent and stored[3] ~= int(floor) then
      call('HSET', task, 'token', int(floor))
      refused = refused + 1
    end
  end
end
call('HSET', prefix .. 'epoch:taken', 'lost', int(floor))
return { 'opened', int(epoch), int(refused) }
