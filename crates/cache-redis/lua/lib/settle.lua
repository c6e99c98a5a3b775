-- What ends an attempt.

-- The move `settle` of a running task by its holder, to done, written out as `grant` is. Returns its goal
-- and who waits for it; nil when it is another move.
local function finish_task(id, token, request, summary, artifacts)
  local key = P .. 'task:' .. id
  local task = call('HMGET', key, 'status', 'goal', 'token', 'attempt', 'owner', 'waited', 'last_error',
    'outdated')
  if task[1] ~= 'running' or task[3] ~= token or task[8] == token then
    return nil
  end
  local goal, settled_by = task[2], token .. ' ' .. request
  if artifacts == '' then
    call('HSET', key, 'status', 'done', 'lease_expires', '', 'settled_by', settled_by, 'summary', summary,
      'ended_at', NOW_TEXT)
  else
    call('HSET', key, 'status', 'done', 'lease_expires', '', 'settled_by', settled_by, 'summary', summary,
      'ended_at', NOW_TEXT, 'artifacts', artifacts)
  end
  if task[7] then
    call('HDEL', key, 'last_error', 'last_error_detail')
  end
  unlock(id)
  end_lease(id)
  if goals[goal] then
    count(goal, 'running', -1)
    count(goal, 'done', 1)
  else
    count(goal, 'active', -1)
  end
  told[#told + 1] = {
    NOW_TEXT .. ' task.done ' .. goal .. ' ' .. id .. ' ' .. task[5] .. ' ' .. token .. ' ' .. task[4], 'reason',
    summary,
  }
  return goal, task[6]
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
    by.detail = more ~= '' and sub(more, 2) or nil
    by.after = after
  end
  return by
end

-- The move `dependency done` of a blocked task, written out as `grant` is. True if it became ready, false if
-- it waits for more; nil when it is another move. `in_hand`: somebody may take it before this call ends.
local function count_down(goal, id, dependency, in_hand)
  local key = P .. 'task:' .. id
  local open = call('HINCRBY', key, 'open', -1)
  if open > 0 then
    -- Whatever its state is, this one counts.
    return false
  end
  local task = EMPTY
  if open == 0 then
    if in_hand and here.hand_is_taken then
      task = call('HMGET', key, 'status', 'not_before', 'priority', 'ordinal', 'needs', 'root', 'max_attempts', 'token',
        'last_error')
    else
      task = call('HMGET', key, 'status', 'not_before', 'priority', 'ordinal', 'needs', 'root')
    end
  end
  if task[1] ~= 'blocked' or (task[2] and task[2] ~= '') then
    -- As it was.
    if call('HINCRBY', key, 'open', 1) == 0 and call('HLEN', key) == 1 then
      call('DEL', key)
    end
    return nil
  end
  take_in_hand(id, goal, task)
  if not in_hand then
    lay_down()
  end
  count(goal, 'blocked', -1)
  count(goal, 'ready', 1)
  work = work + 1
  told[#told + 1] = {
    NOW_TEXT .. ' task.ready ' .. goal .. ' ' .. id .. ' - - -', 'reason', 'last dependency `' .. dependency .. '` is done',
  }
  return true
end

-- Tells those that wait for a task that it is done; how many became ready. `waited`: as `waited_by` says it.
local function unblock(goal, id, waited, in_hand)
  local unblocked = 0
  local dependants = waited ~= '*' and waited or call('HGET', P .. 'dag:' .. goal .. ':dependants', id) or ''
  for dependant in gmatch(dependants, '[^ ]+') do
    local is_ready = count_down(goal, dependant, id, in_hand)
    if is_ready == nil then
      local waiting = task_of(dependant)
      local after = waiting and make(dependant, waiting, 'dependency done', id)
      is_ready = after and waiting.status == 'blocked' and after.status == 'ready'
    end
    if is_ready then
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
