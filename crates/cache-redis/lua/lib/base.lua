-- What every verb stands on: where the store lies, what time it is, and one way to read and write.

-- What the server and Lua give by global names, each of which is looked for in two tables each time. While a
-- library is loaded there is none of it yet.
local call
local ipairs, next, pairs, tonumber, type, unpack
local byte, find, format, gmatch, match, sub
local floor, max, min

local function reach()
  call = redis.call
  ipairs, next, pairs, tonumber, type, unpack = _G.ipairs, _G.next, _G.pairs, _G.tonumber, _G.type, _G.unpack
  byte, find, format = string.byte, string.find, string.format
  gmatch, match, sub = string.gmatch, string.match, string.sub
  floor, max, min = math.floor, math.max, math.min
end

-- Of the call that runs: the prefix of all keys; the time, also as a text; the high part of tokens.
local P, NOW, NOW_TEXT, EPOCH

-- Whether several verbs run in this call.
local together

-- What this process of the server knows, by deployment. It ends with the process, as the library is
-- compiled anew, and may then be found again in what is stored.
local deployments = {}
-- The same by what a call begins with.
local ways = {}
-- What is known of the deployment of the call that runs. `epoch`; `mark`, which `index:ready` begins with; `due`: no
-- lease and no wait ends before; `quiet`: streams, and "" for work, that nobody waits for; `over`, `overs`: leases
-- that ended, and how many; keys that are often asked for.
local here

-- Never written to.
local EMPTY = {}

-- The last moment that core writes.
local LAST_MOMENT = 253402207200000
-- The greatest number that Lua, JSON and JavaScript hold exactly.
local EXACT = 9007199254740991

-- A whole number with all its digits, and faster than a command would write it.
local function int(number)
  return format('%d', number)
end

local function later(moment, span)
  return min(moment + span, LAST_MOMENT)
end

-- Fields that hold numbers.
local NUMBERS = {
  ordinal = true, priority = true, open = true, attempt = true, max_attempts = true, own_attempts =
  true, interruptions = true, token = true, outdated = true, lease_expires = true, not_before =
  true, created_at = true, started_at = true, ended_at = true, revision = true, blocked = true,
  ready = true, running = true, done = true, failed = true, cancelled = true, calls = true,
  input_tokens = true, output_tokens = true, cost_micros = true, started = true, last_beat = true,
  ttl = true, expires_at = true, expired = true, tasks = true, active = true, waiting = true,
  listed = true, below = true,
}

-- A hash as a table; nil when there is none. A number that is an empty text is none.
local function read(key)
  local flat = redis.pcall('HGETALL', key)
  if flat.err then
    -- The server names no key.
    error({ err = flat.err .. ' key=`' .. key .. '`' })
  end
  if #flat == 0 then
    return nil
  end
  local table = {}
  for at = 1, #flat, 2 do
    local name, value = flat[at], flat[at + 1]
    if NUMBERS[name] then
      table[name] = tonumber(value)
    else
      table[name] = value
    end
  end
  return table
end

-- What is about to be changed: reads through to what was; `false` removes a field.
local function draft(old)
  return setmetatable({}, { __index = old })
end

-- Writes what differs, but for what is derived from the rest. A number that goes is written as an empty text, in
-- the same command.
local function write(key, old, new, derived)
  local set, size, gone = {}, 0
  for name, value in pairs(new) do
    local was = old and old[name]
    if derived and derived[name] then
      was = value
    elseif value == false then
      if was and NUMBERS[name] then
        set[size + 1], set[size + 2] = name, ''
        size = size + 2
      elseif was then
        gone = gone or {}
        gone[#gone + 1] = name
      end
    elseif was ~= value then
      set[size + 1] = name
      set[size + 2] = type(value) == 'number' and int(value) or value
      size = size + 2
    end
  end
  if size > 0 then
    call('HSET', key, unpack(set))
  end
  if gone then
    call('HDEL', key, unpack(gone))
  end
end

-- The same for a table that is whole: what it lacks is removed.
local function replace(key, old, new)
  for name in pairs(old or {}) do
    if new[name] == nil then
      new[name] = false
    end
  end
  write(key, old, new)
end

local function copy(old)
  local new = {}
  for name, value in pairs(old) do
    new[name] = value
  end
  return new
end

-- Commands that take many arguments, gathered. Lua passes at most some thousands at once.
local BULK = 1000

local function bulk(command, key)
  return { command, key }
end

local function put(gathered, one, other)
  local size = #gathered
  gathered[size + 1], gathered[size + 2] = one, other
  if size >= BULK then
    call(unpack(gathered))
    for at = #gathered, 3, -1 do
      gathered[at] = nil
    end
  end
end

local function flush(gathered)
  if #gathered > 2 then
    call(unpack(gathered))
  end
end

-- A table as a reply: names and values by turns.
local function flat(table)
  local list = {}
  for name, value in pairs(table) do
    if value then
      list[#list + 1] = name
      list[#list + 1] = type(value) == 'number' and int(value) or value
    end
  end
  return list
end

-- Byte order, whatever the locale of the server.
local function before(one, other)
  for at = 1, min(#one, #other) do
    local a, b = byte(one, at), byte(other, at)
    if a ~= b then
      return a < b
    end
  end
  return #one < #other
end

-- Milliseconds since the Unix epoch as RFC 3339. Days to a date as in Howard Hinnant's civil_from_days.
local function iso(moment)
  local millis = moment % 1000
  local seconds = floor(moment / 1000)
  local days = floor(seconds / 86400)
  local rest = seconds % 86400
  local z = days + 719468
  local era = floor(z / 146097)
  local doe = z % 146097
  local yoe = floor((doe - floor(doe / 1460) + floor(doe / 36524) - floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + floor(yoe / 4) - floor(yoe / 100))
  local mp = floor((5 * doy + 2) / 153)
  local day = doy - floor((153 * mp + 2) / 5) + 1
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  return format('%04d-%02d-%02dT%02d:%02d:%02d.%03dZ', year, month, day, floor(rest / 3600),
    floor(rest / 60) % 60, rest % 60, millis)
end
