-- What time alone brings about.

local function move_due(key, limit, name)
  local moved = {}
  write_leases()
  for _, id in ipairs(call('ZRANGEBYSCORE', key, '-inf', int(NOW), 'LIMIT', 0, int(limit))) do
    local task = task_of(id)
    if task and make_alone(id, task, name) then
      moved[#moved + 1] = id
    end
  end
  return moved
end

local function expire_leases(limit)
  return move_due(P .. 'index:leases', limit, 'expire')
end

local function end_waits(limit)
  return move_due(P .. 'index:waits', limit, 'due')
end

-- The least score of these sorted sets, as a text; empty for none.
local function next_due(keys)
  local least
  write_leases()
  for _, key in ipairs(keys) do
    local first = call('ZRANGE', P .. key, 0, 0, 'WITHSCORES')
    local at = tonumber(first[2])
    if at and (not least or at < least) then
      least = at
    end
  end
  return least and int(least) or ''
end

-- For how many milliseconds it is believed that nothing is due, although somebody who is no verb may
-- have written.
local DUE_BELIEVED = 1000

-- Whether a lease or a wait may be over.
local function is_due()
  local due = dues[PLACE]
  if not due or NOW >= due.at or NOW < due.seen or NOW - due.seen > DUE_BELIEVED then
    due = { at = tonumber(next_due({ 'index:leases', 'index:waits' })) or LAST_MOMENT, seen = NOW }
    dues[PLACE] = due
  end
  return NOW >= due.at
end
