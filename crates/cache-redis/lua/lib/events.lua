-- The log and the news: both are gathered while a verb runs and written at its end.

local told = {}
local work = 0

-- `what`: goal, task, agent, token, attempt, reason, data (JSON), each if there is one.
local function say(kind, what)
  what.kind = kind
  told[#told + 1] = what
end

local function append(stream, entries)
  local last = call('HINCRBY', P .. 'stream:' .. stream .. ':head', 'last', #entries)
  local key = P .. 'stream:' .. stream
  local now = int(NOW)
  for at, entry in ipairs(entries) do
    call('XADD', key, int(last - #entries + at) .. '-0', 'at', now, unpack(entry))
  end
  trim(stream, last, #entries)
  call('PUBLISH', P .. 'news:' .. stream, int(last))
  return last
end

local function finish_events()
  if #told > 0 then
    local entries = {}
    for at, what in ipairs(told) do
      entries[at] = flat(what)
    end
    append('events', entries)
  end
  if work > 0 then
    local number = call('INCRBY', P .. 'index:work', work)
    call('PUBLISH', P .. 'news', int(number))
  end
end
