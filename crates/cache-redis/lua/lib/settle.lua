-- What ends an attempt.

-- What the end of a running task that is done must know of it, and what it may have to remove.
local DONE = {
  'goal', 'status', 'token', 'attempt', 'owner', 'lease_expires', 'settled_by', 'not_before', 'expired',
  'last_error', 'last_error_detail', 'waited',
}

local function settled_task(id, word)
  if word == 'done' then
    local task = read_only(P .. 'task:' .. id, DONE)
    if not task or task.status == 'running' then
      return task
    end
  end
  return task_of(id)
end

-- An outcome as the table of moves takes it.
local function outcome(token, request, word, text, more, after)
  local by = { token = token, request = request, outcome = word }
  if word == 'done' then
    by.summary = text
    by.artifacts = more ~= '' and more
  elseif word == 'release' then
    by.reason = text
  else
    by.message = text
    by.detail = more ~= '' and string.sub(more, 2) or nil
    by.after = after
  end
  return by
end

-- Tells those that wait for a task that it is done; how many became ready.
local function unblock(goal, id)
  local unblocked = 0
  local dependants = call('HGET', P .. 'dag:' .. goal .. ':dependants', id) or ''
  for dependant in string.gmatch(dependants, '[^ ]+') do
    local waiting = task_of(dependant)
    local after = waiting and make(dependant, waiting, 'dependency done', id)
    if after and waiting.status == 'blocked' and after.status == 'ready' then
      unblocked = unblocked + 1
    end
  end
  return unblocked
end

-- Takes back what was told from here on.
local function told_from(first)
  local later = {}
  for at = #told, first, -1 do
    later[at - first + 1] = told[at]
    told[at] = nil
  end
  return later
end

local function tell_again(later)
  for _, entry in ipairs(later) do
    told[#told + 1] = entry
  end
end
