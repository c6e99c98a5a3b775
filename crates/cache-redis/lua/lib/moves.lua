-- The table of moves: `state::apply` of core, once more. The conformance kit holds both equal.
--
-- A move is given the task as it is, a draft of it to change, and its arguments. It returns the draft, the event
-- that tells of it, and how an attempt ended if it did not end well; or nil and a refusal.

local moves = {}

local function illegal(task, name)
  return nil, { 'illegal', task.status, name }
end

local function finished(task)
  return task.status == 'done' or task.status == 'failed' or task.status == 'cancelled'
end

local function may_write(task, token)
  if task.lease_expires and task.token == token then
    return true
  end
  return false, { 'lost', int(token), int(task.token), task.lease_expires and task.owner or '' }
end

local function unheld(task)
  return task.open == 0 and 'ready' or 'blocked'
end

-- Who held it, and by which request, stays for people to see: without a lease it says nothing more.
local function let_go(task)
  task.lease_expires = false
  task.expired = false
end

local function fail_with(task, message, detail)
  task.last_error = message or false
  task.last_error_detail = detail or false
end

local function ended(task, outcome, message, detail)
  return {
    attempt = int(task.attempt),
    agent = task.owner,
    token = int(task.token),
    started_at = int(task.started_at),
    ended_at = int(NOW),
    outcome = outcome,
    message = message,
    detail = detail,
  }
end

-- An attempt whose holder vanished: it counts, and the task is tried again or fails.
local function vanished(task, new, message, detail, outcome, may_return)
  fail_with(new, message, detail)
  local end_of = ended(task, outcome, message, detail)
  if task.attempt < task.max_attempts then
    new.status = unheld(task)
    if may_return then
      new.expired = 1
    else
      let_go(new)
    end
    return new, { 'task.expired', message }, end_of
  end
  new.status = 'failed'
  let_go(new)
  new.ended_at = NOW
  local reason = string.format('attempt %.0f of %.0f was lost: ', task.attempt, task.max_attempts) .. message
  return new, { 'task.failed', reason }, end_of
end

moves['dependency done'] = function(task, new, dependency)
  if (finished(task) and task.open == 0) or task.open == 0 then
    return illegal(task, 'dependency done')
  end
  new.open = task.open - 1
  if task.status == 'blocked' and new.open == 0 then
    new.status = 'ready'
    return new, { 'task.ready', 'last dependency `' .. dependency .. '` is done' }
  end
  return new
end

moves['rewire'] = function(task, new, open)
  new.open = open
  if task.status == 'blocked' and open == 0 then
    new.status = 'ready'
    return new, { 'task.ready', 'an amendment removed its last open dependency' }
  end
  -- A running task keeps running: its inputs were complete when it began.
  if task.status == 'ready' and open > 0 then
    new.status = 'blocked'
    new.not_before = false
    let_go(new)
  end
  return new
end

-- `by`: agent, incarnation, request, ttl, token.
moves['claim'] = function(task, new, by)
  if task.status ~= 'ready' then
    return illegal(task, 'claim')
  end
  if task.not_before and task.not_before > NOW then
    return nil, { 'early' }
  end
  new.status = 'running'
  new.attempt = task.attempt + 1
  new.token = by.token
  new.owner = by.agent
  new.claim = by.incarnation .. '\t' .. by.request
  new.lease_expires = later(NOW, by.ttl)
  new.expired = false
  new.not_before = false
  new.progress = false
  new.started_at = NOW
  return new, { 'task.claimed' }
end

-- `by`: token, expires_at, progress.
moves['renew'] = function(task, new, by)
  local may, refusal = may_write(task, by.token)
  if not may then
    return nil, refusal
  end
  -- Whom nobody replaced may go on, also after the sweep has put the task back.
  new.status = 'running'
  new.not_before = false
  new.lease_expires = by.expires_at
  new.expired = false
  if by.progress and by.progress ~= task.progress then
    new.progress = by.progress
    return new, { 'task.progress', by.progress }
  end
  return new
end

-- The token in `settled_by` keeps a later attempt from being taken for this one; a later claim leaves it.
-- `by`: token, request, outcome, and of the outcome: summary, artifacts, message, detail, after, reason.
moves['settle'] = function(task, new, by)
  local settled_by = int(by.token) .. ' ' .. by.request
  if task.settled_by == settled_by then
    return nil, { 'repeated' }
  end
  local may, refusal = may_write(task, by.token)
  if not may then
    return nil, refusal
  end
  let_go(new)
  new.not_before = false
  new.settled_by = settled_by
  if by.outcome == 'done' and task.outdated == by.token then
    new.status = unheld(task)
    new.attempt = math.max(task.attempt - 1, 0)
    new.progress = false
    local reason = 'its inputs were made again while it ran: it is done once more'
    return new, { 'task.redo', reason }, ended(task, 'outdated', reason)
  end
  if by.outcome == 'done' then
    new.status = 'done'
    new.summary = by.summary
    new.artifacts = by.artifacts or false
    fail_with(new)
    new.ended_at = NOW
    return new, { 'task.done', by.summary }
  end
  if by.outcome == 'release' then
    new.status = unheld(task)
    new.attempt = math.max(task.attempt - 1, 0)
    return new, { 'task.released', by.reason }, ended(task, 'released', by.reason)
  end
  fail_with(new, by.message, by.detail)
  if by.outcome == 'retry' and task.attempt < task.max_attempts then
    new.status = unheld(task)
    if new.status == 'ready' and by.after then
      new.not_before = later(NOW, by.after)
    end
    return new, { 'task.retry', by.message }, ended(task, 'retry', by.message, by.detail)
  end
  new.status = 'failed'
  new.ended_at = NOW
  local reason = by.message
  if by.outcome == 'retry' then
    reason = string.format('attempt %.0f of %.0f failed: ', task.attempt, task.max_attempts) .. reason
  end
  return new, { 'task.failed', reason }, ended(task, 'failed', by.message, by.detail)
end

moves['expire'] = function(task, new)
  if task.status ~= 'running' then
    return illegal(task, 'expire')
  end
  if task.lease_expires > NOW then
    return nil, { 'early' }
  end
  local message = 'the lease of `' .. task.owner .. '` expired at ' .. iso(task.lease_expires)
  return vanished(task, new, message, task.progress, 'expired', true)
end

moves['due'] = function(task, new)
  if task.status ~= 'ready' or not task.not_before then
    return illegal(task, 'due')
  end
  if task.not_before > NOW then
    return nil, { 'early' }
  end
  new.not_before = false
  return new, { 'task.ready', 'the wait before the next attempt is over' }
end

-- `by`: reason, limit.
moves['interrupt'] = function(task, new, by)
  if task.status ~= 'running' then
    return illegal(task, 'interrupt')
  end
  new.interruptions = task.interruptions + 1
  if task.interruptions >= by.limit then
    return vanished(task, new, by.reason, task.progress, 'interrupted', false)
  end
  new.status = unheld(task)
  let_go(new)
  new.attempt = math.max(task.attempt - 1, 0)
  return new, { 'task.released', by.reason }, ended(task, 'interrupted', by.reason, task.progress)
end

-- `by`: reason.
moves['drop'] = function(task, new, by)
  if task.status ~= 'running' then
    return illegal(task, 'drop')
  end
  new.status = unheld(task)
  let_go(new)
  new.attempt = math.max(task.attempt - 1, 0)
  return new, { 'task.released', by.reason }, ended(task, 'dropped', by.reason)
end

moves['elevate'] = function(task, new, priority)
  if finished(task) then
    return illegal(task, 'elevate')
  end
  new.priority = priority
  return new, { 'task.elevated', string.format('priority %.0f is now %.0f', task.priority, priority) }
end

moves['retry'] = function(task, new, more)
  local waits = task.status == 'ready' and task.not_before
  if not waits and task.status ~= 'failed' and task.status ~= 'cancelled' then
    return illegal(task, 'retry')
  end
  new.status = unheld(task)
  new.not_before = false
  new.ended_at = false
  if not waits then
    new.max_attempts = task.attempt + math.max(more, 1)
    new.interruptions = 0
  end
  -- What still waits for a dependency is told to be tried again, not to be ready.
  local reason = 'a person asked for another try'
  if new.status == 'ready' then
    return new, { 'task.ready', reason }
  end
  return new, { 'task.retry', reason .. '; ' .. int(new.open) .. ' dependencies are open' }
end

-- `by`: why (scope, inputs), open, more, reason.
moves['redo'] = function(task, new, by)
  new.open = by.open
  -- Its holder may finish: what it makes is made once more then.
  if task.status == 'running' and by.why == 'inputs' then
    new.outdated = task.token
    return new
  end
  -- Called off is called off, whatever becomes of its inputs.
  if task.status == 'cancelled' and by.why == 'inputs' then
    return new
  end
  new.status = unheld(new)
  let_go(new)
  if (task.attempt == 0 or by.why == 'inputs') and (task.status == 'blocked' or task.status == 'ready') then
    -- Nothing of it is there to do again; the next attempt finds the new inputs.
    if new.status ~= 'ready' then
      new.not_before = false
    end
    if task.status == 'blocked' and new.status == 'ready' then
      return new, { 'task.ready', 'an amendment removed its last open dependency' }
    end
    return new
  end
  new.not_before = false
  new.progress = false
  new.summary = false
  new.artifacts = false
  fail_with(new)
  new.ended_at = false
  new.interruptions = 0
  local end_of
  if task.status == 'running' then
    new.attempt = math.max(task.attempt - 1, 0)
    end_of = ended(task, 'dropped', by.reason)
  end
  new.max_attempts = new.attempt + math.max(by.more, 1)
  return new, { 'task.redo', by.reason }, end_of
end

-- `by`: reason.
moves['cancel'] = function(task, new, by)
  if finished(task) then
    return illegal(task, 'cancel')
  end
  new.status = 'cancelled'
  let_go(new)
  new.not_before = false
  new.ended_at = NOW
  fail_with(new, by.reason)
  local event = { 'task.cancelled', by.reason }
  if task.status == 'running' then
    return new, event, ended(task, 'cancelled', by.reason)
  end
  return new, event
end
