-- The index above those of ready tasks: where the best one may be. Its first member says the epoch, so that
-- whoever looks for a task need not ask for it, too.

local PAGE = 8
local LAST_OF_PAGE = '7'
-- The first page of the index above, as this call has read it.
local first_page

-- Changes that index.
local function top(command, ...)
  first_page = nil
  return call(command, here.ready, ...)
end

local function page_of(from)
  if from > 0 then
    return call('ZRANGE', here.ready, int(from), int(from + PAGE - 1), 'WITHSCORES')
  end
  first_page = first_page or call('ZRANGE', here.ready, '0', LAST_OF_PAGE, 'WITHSCORES')
  return first_page
end

local function is_mark(member)
  return byte(member) == 33
end

-- Whether it is known, without a look, that a group is there with a score that is not above this one.
local function is_below(group, score)
  local page = first_page or EMPTY
  for at = 1, #page, 2 do
    if page[at] == group then
      return tonumber(page[at + 1]) <= score
    end
  end
  return false
end

-- Somebody may have emptied the store, or put another one in its place; or this process was a replica for a
-- while, of a master with a later epoch. What makes tokens looks, and answers `unopened`.
local looked

local function is_replaced()
  if not looked then
    looked = page_of(0)[1] == here.mark
  end
  return not looked
end
