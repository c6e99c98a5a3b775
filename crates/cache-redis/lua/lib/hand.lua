-- Tasks in hand: what a settle makes ready while it carries its agent's next claim. One that is taken at once goes
-- from blocked to running, with the events of both moves, and is written as neither ready nor in an index. The
-- others are laid down before anybody else may look.

local hand = {}

-- `read`: status, not_before, priority, ordinal, needs and root; where the last one in hand was taken also what a
-- claim must know: max_attempts, token and last_error.
local function take_in_hand(id, goal, read)
  local priority, ordinal, root = read[3] and tonumber(read[3]) or 0, tonumber(read[4]), read[6] or nil
  hand[#hand + 1] = {
    id = id, goal = goal, root = root, scope = root or goal, needs = read[5] or '', priority = priority,
    ordinal = ordinal, score = ordinal - priority * RANK,
    fields = read[7] and { 'blocked', goal, read[7], read[8], read[9], root },
  }
end

-- One that goes to an agent.
local function take_from_hand(one)
  for at = 1, #hand do
    if hand[at] == one then
      table.remove(hand, at)
      break
    end
  end
  here.hand_is_taken = true
  return one
end

local function lay_down()
  if hand[1] then
    here.hand_is_taken = false
  end
  for at = 1, #hand do
    local one = hand[at]
    call('HSET', P .. 'task:' .. one.id, 'status', 'ready')
    enter(one.id, one)
  end
  if hand[1] then
    hand = {}
  end
end
