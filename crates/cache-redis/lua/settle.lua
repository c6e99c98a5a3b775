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
ARGV[7]  more           of what is done its artifacts (JSON), of a failure "+" and its detail; "" for none
ARGV[8]  after          before another try, milliseconds; "" for at once
ARGV[9]  spent          calls, input_tokens, output_tokens, cost_micros by spaces; "" for nothing
ARGV[10] agent          who asks for the next task, as for `claim`; absent, with all that follow, if nobody
ARGV[11] incarnation    which life of it
ARGV[12] next_request   names the claim
ARGV[13] ttl            milliseconds
ARGV[14] goal           only of this one; "" for any
ARGV[15] next_task      this one and no other; "" for the best
ARGV[16] capabilities   of the agent, by commas
ARGV[17] avoid          none of these tasks, by commas

Returns  {"settled", status, not_before, unblocked, goal_status, next}   next: as of `claim`, or {}
         {"unopened"}                    as any verb may answer
         {"repeated", status, not_before, goal_status}                   nothing was written
         {"missing"}                                                     no such task
         {"lost", presented, current, holder}   a newer token exists, or this one was spent; "" if nobody holds it
]]
-- Before anything is written: a claim that finds out later could no longer say so.
if ARGV[10] and is_replaced() then
  return { 'unopened' }
end
local id = ARGV[2]
local status, not_before = 'done', ''
local goal, waited
-- Whether its goal was active before. It was not if all that was left waited, and this is a late word of a
-- holder whose task was made to wait meanwhile.
local was_active = true
if ARGV[5] == 'done' then
  goal, waited = finish_task(id, ARGV[3], ARGV[4], ARGV[6], ARGV[7])
end
if not goal then
  local old = task_of(id)
  if not old then
    return { 'missing' }
  end
  local by = outcome(tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[8]))
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

local unblocked = 0
if waited and status == 'done' then
  unblocked = unblock(goal, id)
end
spend(goal, ARGV[9])

local goal_status, next_claim
if not ARGV[10] then
  goal_status, next_claim = evaluate(goal), {}
else
  -- A goal whose next task was granted is as active as it was before; only another must be looked at.
  goal_status = (is_due() or not was_active) and evaluate(goal)
  local told_before = #told
  next_claim = claim({
    agent = ARGV[10], incarnation = ARGV[11], request = ARGV[12], ttl = tonumber(ARGV[13]), goal = ARGV[14],
    task = ARGV[15], capabilities = ARGV[16], avoid = ARGV[17],
  })
  if not goal_status and next_claim[1] == 'granted' and next_claim[3] == goal then
    goal_status = 'active'
  elseif not goal_status then
    local later_told = told_from(told_before + 1)
    goal_status = evaluate(goal)
    tell_again(later_told)
  end
end
finish()
return { 'settled', status, not_before, unblocked, goal_status, next_claim }
