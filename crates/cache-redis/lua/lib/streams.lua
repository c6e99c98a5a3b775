-- How long streams are. They are trimmed once for many entries, in whole blocks of the server's where that
-- keeps the promise, since trimming to the entry costs more than all else about it.

-- What core promises to keep at most beyond a limit.
local SLACK = 1000
-- A stream is looked at when the number of an entry ends in two zeros.
local BETWEEN_TRIMS = 100

local function limit_of(stream)
  if stream == 'events' then
    return tonumber(call('HGET', P .. 'limits', 'events') or '1000000')
  end
  return tonumber(call('HGET', P .. 'limits', 'others') or '10000')
end

-- `last` is the number of the last entry.
local function trim(stream, key, last)
  local limit = limit_of(stream)
  if last <= limit then
    return
  end
  call('XTRIM', key, 'MAXLEN', '~', int(limit), 'LIMIT', 0)
  -- A server may be set up with larger blocks.
  if call('XLEN', key) > limit + SLACK - BETWEEN_TRIMS then
    call('XTRIM', key, 'MAXLEN', int(limit))
  end
end
