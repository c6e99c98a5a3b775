-- The log and the news: both are gathered while a verb runs and written at its end.

-- Entries as they are written: kind, goal, task, agent, token and attempt in one text, by spaces, `-` for none,
-- since each field of its own costs as much as all of that; behind it, names and values by turns, the reason and
-- the data (JSON), if there are any.
local told = {}
local work = 0

-- `what`: goal, task, agent, token, attempt, reason, data, each if there is one.
local function say(kind, what)
  local entry = {
    kind .. ' ' .. (what.goal or '-') .. ' ' .. (what.task or '-') .. ' ' .. (what.agent or '-') .. ' '
      .. (what.token or '-') .. ' ' .. (what.attempt or '-'),
  }
  if what.reason then
    entry[2], entry[3] = 'reason', what.reason
  end
  if what.data then
    entry[#entry + 1], entry[#entry + 2] = 'data', what.data
  end
  told[#told + 1] = entry
end

-- Says a number on a channel, if anybody waits for it. Who waits has asked for the number before by
-- `watch`, which ends the quiet. A process that knows of nobody tells everybody, once.
local function publish(topic, number)
  local known = PLACE .. topic
  if not quiet[known] then
    quiet[known] = true
    call('PUBLISH', P .. 'news' .. topic, number)
  end
end

-- The number of the last entry that a stream ever had, as a text.
local function last_of(stream)
  local key = P .. 'stream:' .. stream
  if call('EXISTS', key) == 0 then
    return '0'
  end
  local told_of = call('XINFO', 'STREAM', key)
  for at = 1, #told_of, 2 do
    if told_of[at] == 'last-generated-id' then
      return string.sub(told_of[at + 1], 3)
    end
  end
end

-- Adds entries, numbered from 1 without a gap; the number of the last one, as a text.
local function append(stream, entries)
  local key = P .. 'stream:' .. stream
  local now, last = int(NOW) .. ' '
  for at = 1, #entries do
    local entry = entries[at]
    last = call('XADD', key, '0-*', 'event', now .. entry[1], unpack(entry, 2))
  end
  last = string.sub(last, 3)
  trim(stream, tonumber(last), #entries)
  publish(':' .. stream, last)
  return last
end

local function finish_events()
  if #told > 0 then
    append('events', told)
  end
  if work > 0 then
    publish('', int(call('INCRBY', P .. 'index:work', work)))
  end
end
