-- What went wrong in attempts of an agent, over all of its tasks.

local KEPT_AGENT_ERRORS = 100
local FAILURES = { retry = true, failed = true, expired = true, interrupted = true }

-- Enters an attempt that failed, if its agent ever registered. The detail is in the task's own list.
local function enter_error(goal, id, end_of)
  if not FAILURES[end_of.outcome] then
    return
  end
  local agent = P .. 'agent:' .. end_of.agent
  if call('EXISTS', agent .. ':registered') == 0 then
    return
  end
  local error = copy(end_of)
  error.goal, error.task, error.detail = goal, id, nil
  call('RPUSH', agent .. ':errors', cjson.encode(error))
  call('LTRIM', agent .. ':errors', -KEPT_AGENT_ERRORS, -1)
end
