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

-- A task that somebody waits for says so, so that the settle of any other need not look.
local function mark_waited(id, dependants)
  if dependants == '' then
    call('HDEL', P .. 'task:' .. id, 'waited')
  else
    call('HSET', P .. 'task:' .. id, 'waited', '1')
  end
end

-- A task that nobody knows yet. `task`: dependants, needs, priority, open, attempts (its own, if any).
local function new_task(goal_id, goal, ordinal, task)
  return {
    goal = goal_id,
    root = goal.root,
    ordinal = ordinal,
    status = task.open == 0 and 'ready' or 'blocked',
    priority = task.priority,
    open = task.open,
    attempt = 0,
    max_attempts = math.max(task.attempts or goal.max_attempts, 1),
    own_attempts = task.attempts,
    interruptions = 0,
    token = forgotten_token(),
    needs = task.needs,
    waited = task.dependants ~= '' and '1' or nil,
    created_at = NOW,
  }
end

-- Adds such a task; `task` also: node, dependencies.
local function add(goal_id, goal, id, task)
  local ordinal = call('INCR', P .. 'index:ordinal')
  local new = new_task(goal_id, goal, ordinal, task)
  put_task(id, nil, new)
  count(goal_id, new.status, 1)
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

-- Adds the tasks of a goal that has none. They begin at `from` in a list, eight values each: id, node,
-- dependencies, dependants, needs, priority, open, its own attempts or "".
local function add_all(goal_id, goal, list, from)
  local dag = P .. 'dag:' .. goal_id
  local nodes, deps = bulk('HSET', dag .. ':nodes'), bulk('HSET', dag .. ':deps')
  local dependants, tasks = bulk('HSET', dag .. ':dependants'), bulk('ZADD', dag .. ':tasks')
  local ready, best_of = {}, {}
  local scope = goal.root or goal_id
  local number = (#list - from + 1) / 8
  local ordinal = call('INCRBY', P .. 'index:ordinal', int(number)) - number
  local now, prefix = int(NOW), P .. 'task:'
  -- Whoever held a task of the same id once stays fenced.
  local token = int(forgotten_token())
  for at = from, #list, 8 do
    local id, needs, open, own = list[at], list[at + 4], list[at + 6], list[at + 7]
    ordinal = ordinal + 1
    local number_of = int(ordinal)
    local status = open == '0' and 'ready' or 'blocked'
    local most = own ~= '' and math.max(tonumber(own), 1) or goal.max_attempts
    local waited = list[at + 3] ~= ''
    -- What every attempt reads and writes comes first: a small hash is searched from its beginning.
    if own == '' and not waited and not goal.root then
      call('HSET', prefix .. id, 'goal', goal_id, 'status', status, 'token', token, 'attempt', '0',
        'max_attempts', most, 'open', open, 'priority', list[at + 5], 'ordinal', number_of, 'needs', needs,
        'interruptions', '0', 'created_at', now)
    else
      local set = { 'HSET', prefix .. id, 'goal', goal_id, 'status', status, 'token', token, 'attempt', '0',
        'max_attempts', most, 'open', open, 'priority', list[at + 5], 'ordinal', number_of, 'needs', needs,
        'interruptions', '0', 'created_at', now }
      if goal.root then
        set[#set + 1], set[#set + 2] = 'root', goal.root
      end
      if own ~= '' then
        set[#set + 1], set[#set + 2] = 'own_attempts', own
      end
      if waited then
        set[#set + 1], set[#set + 2] = 'waited', '1'
        put(dependants, id, list[at + 3])
      end
      call(unpack(set))
    end
    goal[status] = goal[status] + 1
    put(nodes, id, list[at + 1])
    put(deps, id, list[at + 2])
    put(tasks, number_of, id)
    if open == '0' then
      local score = ordinal - tonumber(list[at + 5]) * RANK
      if not ready[needs] then
        ready[needs] = bulk('ZADD', P .. 'index:ready:' .. scope .. ':' .. needs)
        best_of[needs] = score
      end
      best_of[needs] = math.min(best_of[needs], score)
      put(ready[needs], int(score), id)
      work = work + 1
    end
  end
  flush(nodes)
  flush(deps)
  flush(dependants)
  flush(tasks)
  for needs, gathered in pairs(ready) do
    flush(gathered)
    top('ZADD', 'LT', int(best_of[needs]), scope .. ':' .. needs)
    call('SADD', P .. 'index:needs:' .. scope, needs)
  end
end
