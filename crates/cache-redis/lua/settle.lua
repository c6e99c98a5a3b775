--[[
settle: end an attempt, if the caller still holds the newest token; unblock who waited for the task
alone; claim the agent's next task.

KEYS[1]  epoch          <prefix>epoch; the prefix of all keys follows from it
ARGV[1]  now            milliseconds since the Unix epoch, only in tests; "" for the server's time
ARGV[2]  task           its id
ARGV[3]  token          the caller's fencing token
ARGV[4]  request        names the request
ARGV[5]  outcome        JSON: outcome (done, retry, failed, release), summary?, artifacts? (JSON as
                        text), message?, detail?, after? (ms), reason?
ARGV[6]  spent          JSON: calls, input_tokens, output_tokens, cost_micros
ARGV[7]  next           the next claim as for `claim`; "" for none

Returns  {"settled", status, not_before, unblocked, goal_status, next}   next: as of `claim`, or {}
         {"repeated", status, not_before, goal_status}                   nothing was written
         {"missing"}                                                     no such task
         {"lost", presented, current}   a newer token exists, or this one was spent
]]
local id = ARGV[2]
local old = task_of(id)
if not old then
  return { 'missing' }
end
local by = cjson.decode(ARGV[5])
by.token = tonumber(ARGV[3])
by.request = ARGV[4]
local new, refusal = make(id, old, 'settle', by)
if not new then
  if refusal[1] == 'repeated' then
    local not_before = old.not_before and int(old.not_before) or ''
    return { 'repeated', old.status, not_before, goal_of(old.goal).status }
  end
  return refusal
end

local unblocked = 0
if by.outcome == 'done' then
  local dependants = call('HGET', P .. 'dag:' .. old.goal .. ':dependants', id) or ''
  for dependant in string.gmatch(dependants, '[^ ]+') do
    local waiting = task_of(dependant)
    local after = waiting and make(dependant, waiting, 'dependency done', id)
    if after and waiting.status == 'blocked' and after.status == 'ready' then
      unblocked = unblocked + 1
    end
  end
end
spend(goal_of(old.goal), cjson.decode(ARGV[6]))
local status = evaluate(old.goal)
local next_claim = {}
if ARGV[7] ~= '' then
  next_claim = claim(cjson.decode(ARGV[7]))
end
finish()
return { 'settled', new.status, new.not_before and int(new.not_before) or '', unblocked, status, next_claim }
