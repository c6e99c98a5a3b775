--[[
settle: end an attempt, if the caller still holds the newest token; unblock who waited for the task
alone; claim the agent's next task.

KEYS[1]  epoch          <prefix>epoch; the prefix of all keys follows from it
ARGV[1]  where          "", or the number of the database and "/"; in tests the time, milliseconds since the Unix epoch
ARGV[2]  task           its id
ARGV[3]  token          the caller's fencing token
ARGV[4]  request        names the request
ARGV[5]  outcome        done, retry, failed or release
ARGV[6]  text           the summary, the message or the reason
ARGV[7]  agent          who asks for the next task, as for `claim`; "" for nobody. From here on what is "" may be
                        left out at the end
ARGV[8]  incarnation    which life of it
ARGV[9]  next_request   names the claim
ARGV[10] ttl            milliseconds
ARGV[11] goal           only of this one; "" for any
ARGV[12] next_task      this one and no other; "" for the best
ARGV[13] capabilities   of the agent, by commas
ARGV[14] avoid          none of these tasks, by commas
ARGV[15] more           of what is done its artifacts (JSON), of a failure "+" and its detail; "" for none
ARGV[16] after          before another try, milliseconds; "" for at once
ARGV[17] spent          calls, input_tokens, output_tokens, cost_micros by spaces; "" for nothing

Returns  {"settled", words, next…}       by spaces: status, unblocked, goal_status, not_before; the answer of `claim`
                                         behind it, if there was one
         {"unopened"}                    as any verb may answer
         {"repeated", status, not_before, goal_status}                   nothing was written
         {"missing"}                                                     no such task
         {"lost", presented, current, holder}   a newer token exists, or this one was spent; "" if nobody holds it
]]
-- Before anything is written: a claim that finds out later could no longer say so.
local carries, more = ARGV[7] ~= nil and ARGV[7] ~= '', ARGV[15] or ''
if carries and is_replaced() then
  return { 'unopened' }
end
local id = ARGV[2]
local status, not_before = 'done', ''
local goal, waited
-- Whether its goal was active before. It was not if all that was left waited, and this is a late word of a
-- holder whose task was made to wait meanwhile.
local was_active = true
if ARGV[5] == 'done' then
  goal, waited = finish_task(id, ARGV[3], ARGV[4], ARGV[6], more)
end
local was_running = goal ~= nil
if not was_running then
  local old = task_of(id)
  if not old then
    return { 'missing' }
  end
  local by = outcome(tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6], more, tonumber(ARGV[16] or ''))
  local new, refusal = make(id, old, 'settle', by)
  if not new then
    if refusal[1] == 'repeated' then
      return { 'repeated', old.status, old.not_before and int(old.not_before) or '', goal_of(old.goal).status }
    end
    return refusal
  end
  goal, waited, was_active = old.goal, old.waited, old.status ~= 'blocked'
  status, not_before = new.status, new.not_before and int(new.not_before) or ''
end

-- A goal that this reads says how many are ready: before any lies in hand.
spend(goal, ARGV[17] or '')
local unblocked = 0
if waited and status == 'done' then
  unblocked = unblock(goal, id, waited, carries)
end

local goal_status, next_claim, next_goal
if not carries then
  -- One of its tasks ran, another is ready.
  goal_status, next_claim = was_running and unblocked > 0 and 'active' or evaluate(goal), {}
else
  -- A goal whose next task was granted is as active as it was before; only another must be looked at.
  if is_due() or not was_active then
    lay_down()
    goal_status = evaluate(goal)
  end
  local told_before = #told
  local by = asked(ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11], ARGV[12], ARGV[13], ARGV[14])
  if hand[1] then
    -- Whatever becomes of the claim, what was made ready is found.
    local ended
    ended, next_claim, next_goal = pcall(claim, by)
    lay_down()
    if not ended then
      error(next_claim)
    end
  else
    next_claim, next_goal = claim(by)
  end
  if not goal_status and next_goal == goal then
    goal_status = 'active'
  elseif not goal_status then
    local later_told = told_from(told_before + 1)
    goal_status = evaluate(goal)
    tell_again(later_told)
  end
end
finish()
local words = status .. (unblocked == 0 and ' 0 ' or ' ' .. int(unblocked) .. ' ') .. goal_status .. ' ' .. not_before
local reply = { 'settled', words, unpack(next_claim) }
nodes.become(next_goal, next_claim, reply)
return reply
