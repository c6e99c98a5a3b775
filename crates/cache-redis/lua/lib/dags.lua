-- The parts of a DAG as it is stored.

local function put_links(goal, id, dependencies, dependants)
  local key = P .. 'dag:' .. goal
  if dependencies then
    call('HSET', key .. ':deps', id, dependencies)
  end
  if dependants == '' then
    call('HDEL', key .. ':dependants', id)
  else
    call('HSET', key .. ':dependants', id, dependants)
  end
end

local forgotten

-- Adds a task that nobody knows yet. `task`: node, dependencies, dependants, needs, priority, open,
-- attempts (its own, if any).
local function add(goal_id, goal, id, task)
  local ordinal = call('INCR', P .. 'index:ordinal')
  forgotten = forgotten or forgotten_token()
  local new = {
    goal = goal_id,
    ordinal = ordinal,
    status = task.open == 0 and 'ready' or 'blocked',
    priority = task.priority,
    open = task.open,
    attempt = 0,
    max_attempts = math.max(task.attempts or goal.max_attempts, 1),
    own_attempts = task.attempts,
    interruptions = 0,
    token = forgotten,
    needs = task.needs,
    created_at = NOW,
  }
  put_task(id, nil, new)
  goal[new.status] = goal[new.status] + 1
  if new.status == 'ready' then
    work = work + 1
  end
  call('HSET', P .. 'dag:' .. goal_id .. ':nodes', id, task.node)
  call('ZADD', P .. 'dag:' .. goal_id .. ':tasks', ordinal, id)
  put_links(goal_id, id, task.dependencies, task.dependants)
end

-- The tasks in the order of the draft.
local function reorder(goal, ids)
  local key = P .. 'dag:' .. goal .. ':order'
  call('DEL', key)
  for at = 1, #ids, 1000 do
    call('RPUSH', key, unpack(ids, at, math.min(at + 999, #ids)))
  end
end
