-- The index above those of ready tasks: where the best one may be.

local PAGE = 8
-- The first page of the index above, as this call has read it.
local first_page

-- Changes that index.
local function top(command, ...)
  first_page = nil
  return call(command, P .. 'index:ready', ...)
end

local function page_of(from)
  if from > 0 then
    return call('ZRANGE', P .. 'index:ready', from, from + PAGE - 1, 'WITHSCORES')
  end
  first_page = first_page or call('ZRANGE', P .. 'index:ready', 0, PAGE - 1, 'WITHSCORES')
  return first_page
end
