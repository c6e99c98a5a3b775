-- The log and the news: both are gathered while a verb runs and written at its end.

-- Entries as they are written: time, kind, goal, task, agent, token and attempt in one text, by spaces, `-` for
-- none, since each field of its own costs as much as all of that; behind it, names and values by turns, the reason
-- and the data (JSON), if there are any.
local told = {}
local work = 0

-- `what`: goal, task, agent, token, attempt, reason, data, each if there is one.
local function say(kind, what)
  local entry = {
    NOW_TEXT .. ' ' .. kind .. ' ' .. (what.goal or '-') .. ' ' .. (what.task or '-') .. ' ' .. (what.agent or '-') .. ' '
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

-- Says a number of a stream, or of work (""), on its channel, if anybody waits for it. Who waits has asked for the
-- number before by `watch`, which ends the quiet. A process that knows of nobody tells everybody, once.
local function publish(stream, number)
  here.quiet[stream] = true
  call('PUBLISH', P .. 'news' .. (stream == '' and '' or ':' .. stream), number)
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
      return sub(told_of[at + 1], 3)
    end
  end
end

-- Adds entries, numbered from 1 without a gap; the id of the last one: "0-" and its number.
local function append(stream, entries)
  local key, last = stream == 'events' and here.events or P .. 'stream:' .. stream
  for at = 1, #entries do
    local entry = entries[at]
    -- As almost all of them are.
    if not entry[2] then
      last = call('XADD', key, '0-*', 'event', entry[1])
    elseif not entry[4] then
      last = call('XADD', key, '0-*', 'event', entry[1], entry[2], entry[3])
    else
      last = call('XADD', key, '0-*', 'event', unpack(entry))
    end
    if byte(last, -1) == 48 and byte(last, -2) == 48 then
      trim(stream, key, tonumber(sub(last, 3)))
    end
  end
  if not here.quiet[stream] then
    publish(stream, sub(last, 3))
  end
  return last
end

local function finish_events()
  if told[1] then
    append('events', told)
  end
  if work > 0 then
    local number = call('INCRBY', P .. 'index:work', work)
    if not here.quiet[''] then
      publish('', int(number))
    end
  end
end
