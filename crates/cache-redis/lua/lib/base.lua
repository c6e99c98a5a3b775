-- What every verb begins with: where the store lies, what time it is, and one way to write numbers.

local call = redis.call
local P = string.sub(KEYS[1], 1, -6)
-- While the slot of a deployment moves to another node of a cluster, each node has a part of the keys. Asking
-- for two that there never are fails on both, before anything is written.
if string.byte(P) == 123 then
  call('EXISTS', P .. 'nothing', P .. 'never')
end
local NOW = tonumber(ARGV[1])
if not NOW then
  local time = call('TIME')
  NOW = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local EPOCH = tonumber(call('GET', KEYS[1]) or '')
if not EPOCH then
  return { 'unopened' }
end

-- The last moment that core writes.
local LAST_MOMENT = 253402207200000
-- The greatest number that Lua, JSON and JavaScript hold exactly.
local EXACT = 9007199254740991

-- A whole number with all its digits, and faster than a command would write it.
local function int(number)
  return string.format('%d', number)
end

local function later(moment, span)
  return math.min(moment + span, LAST_MOMENT)
end

-- Fields that hold numbers.
local NUMBERS = {
  ordinal = true, priority = true, open = true, attempt = true, max_attempts = true, own_attempts =
  true, interruptions = true, token = true, lease_expires = true, claimed_at = true, not_before =
  true, created_at = true, started_at = true, ended_at = true, revision = true, blocked = true,
  ready = true, running = true, done = true, failed = true, cancelled = true, calls = true,
  input_tokens = true, output_tokens = true, cost_micros = true, started = true, last_beat = true,
  ttl = true, expires_at = true,
}

-- A hash as a table; nil when there is none.
local function read(key)
  local flat = call('HGETALL', key)
  if #flat == 0 then
    return nil
  end
  local table = {}
  for at = 1, #flat, 2 do
    local name, value = flat[at], flat[at + 1]
    table[name] = NUMBERS[name] and tonumber(value) or value
  end
  return table
end

-- Writes what differs.
local function write(key, old, new)
  local set, gone = {}, {}
  for name, value in pairs(new) do
    if not old or old[name] ~= value then
      set[#set + 1] = name
      set[#set + 1] = type(value) == 'number' and int(value) or value
    end
  end
  for name in pairs(old or {}) do
    if new[name] == nil then
      gone[#gone + 1] = name
    end
  end
  if #set > 0 then
    call('HSET', key, unpack(set))
  end
  if #gone > 0 then
    call('HDEL', key, unpack(gone))
  end
end

local function copy(old)
  local new = {}
  for name, value in pairs(old) do
    new[name] = value
  end
  return new
end

-- A table as a reply: names and values by turns.
local function flat(table)
  local list = {}
  for name, value in pairs(table) do
    list[#list + 1] = name
    list[#list + 1] = value
  end
  return list
end

-- Byte order, whatever the locale of the server.
local function before(one, other)
  for at = 1, math.min(#one, #other) do
    local a, b = string.byte(one, at), string.byte(other, at)
    if a ~= b then
      return a < b
    end
  end
  return #one < #other
end

-- Milliseconds since the Unix epoch as RFC 3339. Days to a date as in Howard Hinnant's civil_from_days.
local function iso(moment)
  local millis = moment % 1000
  local seconds = math.floor(moment / 1000)
  local days = math.floor(seconds / 86400)
  local rest = seconds % 86400
  local z = days + 719468
  local era = math.floor(z / 146097)
  local doe = z % 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local day = doy - math.floor((153 * mp + 2) / 5) + 1
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%03dZ', year, month, day, math.floor(rest / 3600),
    math.floor(rest / 60) % 60, rest % 60, millis)
end
