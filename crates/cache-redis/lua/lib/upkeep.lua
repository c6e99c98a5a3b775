-- What time alone brings about.

-- How many agents are looked at for leases that ended.
local LOOKED_AT = 1000

-- Expires the leases that ended first.
local function expire_leases(limit)
  local due, seen, expired, touched = {}, {}, {}, {}
  local agents = call('ZRANGEBYSCORE', P .. 'index:leases', '-inf', NOW_TEXT, 'LIMIT', 0, LOOKED_AT)
  for _, agent in ipairs(agents) do
    local running, ends = look_at(agent)
    for at, id in ipairs(running) do
      if ends[at] <= NOW and not seen[id] then
        seen[id] = true
        due[#due + 1] = { id, ends[at], agent }
      end
    end
  end
  table.sort(due, function(one, other)
    return one[2] < other[2] or (one[2] == other[2] and before(one[1], other[1]))
  end)
  for at = 1, min(#due, limit) do
    local id = due[at][1]
    local task = task_of(id)
    if task and make_alone(id, task, 'expire') then
      expired[#expired + 1] = id
      touched[due[at][3]] = true
    end
  end
  for agent in pairs(touched) do
    look_at(agent)
  end
  return expired
end

local function end_waits(limit)
  local ended = {}
  for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'index:waits', '-inf', NOW_TEXT, 'LIMIT', 0, int(limit))) do
    local task = task_of(id)
    if task and make_alone(id, task, 'due') then
      ended[#ended + 1] = id
    end
  end
  return ended
end

-- The first member of a sorted set, and its score.
local function first_of(key)
  local first = call('ZRANGE', P .. key, 0, 0, 'WITHSCORES')
  return first[1], tonumber(first[2])
end

-- When the first lease ends: the agent that comes first may have none that ends so soon.
local function next_lease()
  while true do
    local agent, at = first_of('index:leases')
    if not agent then
      return nil
    end
    look_at(agent)
    if bounds[agent] == at then
      return at
    end
  end
end

-- When the first lease or wait ends, or the first score of another of these sorted sets, as a text; empty for
-- never.
local function next_due(key)
  local least = next_lease()
  for _, other in ipairs({ 'index:waits', key }) do
    local _, at = first_of(other)
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
  local due = here.due
  if not due or NOW >= due.at or NOW < due.seen or NOW - due.seen > DUE_BELIEVED then
    local _, lease_ends = first_of('index:leases')
    local _, wait_ends = first_of('index:waits')
    due = { at = min(lease_ends or LAST_MOMENT, wait_ends or LAST_MOMENT), seen = NOW }
    here.due = due
  end
  return NOW >= due.at
end
