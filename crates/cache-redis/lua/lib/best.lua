-- The best tasks that can be claimed now: the first ones of the groups whose needs are covered.

-- A list by commas as a set.
local function set_of(list)
  local set = {}
  for word in string.gmatch(list, '[^,]+') do
    set[word] = true
  end
  return set
end

local function covers(has, needs)
  if needs ~= '' then
    for need in string.gmatch(needs, '[^,]+') do
      if not has[need] then
        return false
      end
    end
  end
  return true
end

-- Takes the best task that an agent with these capabilities may take out of its group.
local function take_any(has)
  local id, score, group
  local from = 0
  while true do
    local page = page_of(from)
    from = from + PAGE
    for at = 1, #page, 2 do
      local other, bound = page[at], tonumber(page[at + 1])
      if id and bound > score then
        return id
      end
      if not is_mark(other) and covers(has, string.sub(other, string.find(other, ':', 1, true) + 1)) then
        local key = P .. 'index:ready:' .. other
        local head = id and call('ZRANGE', key, 0, 0, 'WITHSCORES') or call('ZPOPMIN', key)
        local first = tonumber(head[2])
        if not first then
          top('ZREM', other)
          from = from - 1
        elseif not id then
          id, score, group = head[1], first, other
        elseif first < score then
          -- It was not the best after all: back with it, and on with this one.
          call('ZADD', P .. 'index:ready:' .. group, int(score), id)
          top('ZADD', int(score), group)
          call('ZREM', key, head[1])
          from = from - 1
          id, score, group = head[1], first, other
        elseif first > bound then
          top('ZADD', int(first), other)
          from = from - 1
        end
      end
    end
    if #page < 2 * PAGE then
      return id
    end
  end
end

-- The same within a goal.
local function take_of(goal, has)
  local id, score, from
  for _, needs in ipairs(call('SMEMBERS', P .. 'index:needs:' .. goal)) do
    if covers(has, needs) then
      local key = P .. 'index:ready:' .. goal .. ':' .. needs
      local head = call('ZRANGE', key, 0, 0, 'WITHSCORES')
      local first = tonumber(head[2])
      if first and (not id or first < score) then
        id, score, from = head[1], first, key
      end
    end
  end
  if id then
    call('ZREM', from, id)
  end
  return id
end

-- The groups that may hold the best tasks, best first.
local function groups_of(goal)
  if goal == '' then
    return call('ZRANGE', P .. 'index:ready', 0, -1)
  end
  local groups = {}
  for at, needs in ipairs(call('SMEMBERS', P .. 'index:needs:' .. goal)) do
    groups[at] = goal .. ':' .. needs
  end
  return groups
end

-- The best tasks, best first, of one goal or of all; nothing is taken.
local function best(goal, has, limit)
  local found = {}
  if limit < 1 then
    return found
  end
  for _, group in ipairs(groups_of(goal)) do
    if not is_mark(group) and covers(has, string.sub(group, string.find(group, ':', 1, true) + 1)) then
      local pairs_of = call('ZRANGE', P .. 'index:ready:' .. group, 0, int(limit - 1), 'WITHSCORES')
      for at = 1, #pairs_of, 2 do
        found[#found + 1] = { pairs_of[at], tonumber(pairs_of[at + 1]) }
      end
    end
  end
  table.sort(found, function(one, other)
    return one[2] < other[2]
  end)
  local ids = {}
  for at = 1, math.min(#found, limit) do
    ids[at] = found[at][1]
  end
  return ids
end
