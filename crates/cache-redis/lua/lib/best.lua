-- The best tasks that can be claimed now: the first ones of the groups whose needs are covered.

-- A list by commas as a set.
local function set_of(list)
  local set = {}
  for word in gmatch(list, '[^,]+') do
    set[word] = true
  end
  return set
end

local function covers(has, needs)
  if needs ~= '' then
    for need in gmatch(needs, '[^,]+') do
      if not has[need] then
        return false
      end
    end
  end
  return true
end

-- The best one in hand that an agent with these capabilities may take, of this goal or ("") of any.
local function best_in_hand(goal, has)
  local best
  for at = 1, #hand do
    local one = hand[at]
    if (not best or one.score < best.score) and (goal == '' or goal == one.scope) and covers(has, one.needs) then
      best = one
    end
  end
  return best
end

-- Takes the best task that an agent with these capabilities may take out of its group, or out of the hand: then it
-- is returned, too.
local function take_any(has)
  local mine = hand[1] and best_in_hand('', has)
  local id, score, group
  if mine then
    id, score = mine.id, mine.score
  end
  local from = 0
  while true do
    local page = page_of(from)
    from = from + PAGE
    for at = 1, #page, 2 do
      local other = page[at]
      if id then
        score = tonumber(score)
        if tonumber(page[at + 1]) > score then
          return id, mine and take_from_hand(mine)
        end
      end
      if other ~= here.group and not is_mark(other) then
        here.group, here.group_key = other, P .. 'index:ready:' .. other
        here.group_needs = sub(other, find(other, ':', 1, true) + 1)
      end
      if not is_mark(other) and covers(has, here.group_needs) then
        local key = here.group_key
        local head = group and call('ZRANGE', key, 0, 0, 'WITHSCORES') or call('ZPOPMIN', key)
        -- With one group, as most often, it does not matter how good its best is.
        local first = id and head[2] and tonumber(head[2]) or head[2]
        if not first then
          -- What lies in hand may soon be all that is in its group, unless it is always taken.
          if not hand[1] or here.hand_is_taken then
            top('ZREM', other)
            from = from - 1
          end
        elseif not id or (mine and first < score) then
          id, score, group, mine = head[1], first, other, nil
        elseif mine then
          call('ZADD', key, int(first), head[1])
        elseif first < score then
          -- It was not the best after all: back with it, and on with this one.
          call('ZADD', P .. 'index:ready:' .. group, int(score), id)
          top('ZADD', int(score), group)
          call('ZREM', key, head[1])
          from = from - 1
          id, score, group = head[1], first, other
        elseif first > tonumber(page[at + 1]) then
          top('ZADD', int(first), other)
          from = from - 1
        end
      end
    end
    if #page < 2 * PAGE then
      return id, mine and take_from_hand(mine)
    end
  end
end

-- The same within a goal.
local function take_of(goal, has)
  local mine = hand[1] and best_in_hand(goal, has)
  local id, score, from
  if mine then
    id, score = mine.id, mine.score
  end
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
  if from then
    call('ZREM', from, id)
  elseif mine then
    return id, take_from_hand(mine)
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
    if not is_mark(group) and covers(has, sub(group, find(group, ':', 1, true) + 1)) then
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
  for at = 1, min(#found, limit) do
    ids[at] = found[at][1]
  end
  return ids
end
