-- The best tasks that can be claimed now: of each set of needs that is covered, the first ones.

local function covers(has, needs)
  for need in string.gmatch(needs, '[^,]+') do
    if not has[need] then
      return false
    end
  end
  return true
end

local function best(scope, capabilities, limit)
  local has, found = {}, {}
  for _, capability in ipairs(capabilities) do
    has[capability] = true
  end
  if limit < 1 then
    return found
  end
  for _, needs in ipairs(call('SMEMBERS', P .. 'index:needs:' .. scope)) do
    if covers(has, needs) then
      local key = P .. 'index:ready:' .. scope .. ':' .. needs
      local pairs_of = call('ZRANGE', key, 0, int(limit - 1), 'WITHSCORES')
      if #pairs_of == 0 then
        call('SREM', P .. 'index:needs:' .. scope, needs)
      end
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
