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

-- A longer text makes a small hash a large one.
local MOST_WAITED = 64

-- Who waits for a task, as the task says it, so that a settle need not look: the list, or "*" for a long one.
local function waited_by(dependants)
  return #dependants <= MOST_WAITED and dependants or '*'
end

local function mark_waited(id, dependants)
  if dependants == '' then
    call('HDEL', P .. 'task:' .. id, 'waited')
  else
    call('HSET', P .. 'task:' .. id, 'waited', waited_by(dependants))
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
    max_attempts = max(task.attempts or goal.max_attempts, 1),
    own_attempts = task.attempts,
    interruptions = 0,
    token = forgotten_token(),
    needs = task.needs,
    waited = task.dependants ~= '' and waited_by(task.dependants) or nil,
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
    call('RPUSH', key, unpack(ids, at, min(at + 999, #ids)))
  end
end

-- Adds the tasks of a goal that has none. They begin at `from` in a list, four values each: id, node,
-- dependencies, and what is not as usual: "" or its priority, how many it waits for, its own attempts, its needs
-- and its dependants, with tabs between.
local function add_all(goal_id, goal, list, from)
  local dag = P .. 'dag:' .. goal_id
  local nodes, deps, order = dag .. ':nodes', dag .. ':deps', dag .. ':order'
  local scope = goal.root or goal_id
  local usual, dependants = P .. 'index:ready:' .. scope .. ':', bulk('HSET', dag .. ':dependants')
  local ready, best_of = {}, {}
  local number = (#list - from + 1) / 4
  local ordinal = call('INCRBY', P .. 'index:ordinal', int(number)) - number
  local prefix, most = P .. 'task:', int(max(goal.max_attempts, 1))
  -- Whoever held a task of the same id once stays fenced.
  local token = int(forgotten_token())
  -- As many tasks at a time as Lua passes at once.
  for first = from, #list, 4 * BULK do
    local ids, pairs_of_nodes, pairs_of_deps, ranks, scores = {}, {}, {}, {}, {}
    local count_of, ready_of = 0, 0
    for at = first, min(first + 4 * BULK - 4, #list), 4 do
      local id, rest = list[at], list[at + 3]
      ordinal = ordinal + 1
      local number_of = format('%d', ordinal)
      count_of = count_of + 1
      local second = count_of + count_of
      ids[count_of] = id
      pairs_of_nodes[second - 1], pairs_of_nodes[second] = id, list[at + 1]
      pairs_of_deps[second - 1], pairs_of_deps[second] = id, list[at + 2]
      ranks[second - 1], ranks[second] = number_of, id
      -- What every attempt reads and writes comes first: a small hash is searched from its beginning. What is 0
      -- or empty is left out, and so is when it was made: with its goal.
      if rest == '' and token == '0' and not goal.root then
        call('HSET', prefix .. id, 'status', 'ready', 'goal', goal_id, 'max_attempts', most, 'ordinal', number_of)
        ready_of = ready_of + 2
        scores[ready_of - 1], scores[ready_of] = number_of, id
        best_of[''] = best_of[''] or ordinal
      else
        local priority, open, own, needs, waiting = '0', '0', '', '', ''
        if rest ~= '' then
          priority, open, own, needs, waiting =
            match(rest, '^([^\t]*)\t([^\t]*)\t([^\t]*)\t([^\t]*)\t(.*)$')
        end
        local attempts = own ~= '' and int(max(tonumber(own), 1)) or most
        local set = { 'HSET', prefix .. id, 'status', open == '0' and 'ready' or 'blocked', 'goal', goal_id,
          'max_attempts', attempts, 'ordinal', number_of }
        local function also(name, value, unless)
          if value ~= unless then
            set[#set + 1], set[#set + 2] = name, value
          end
        end
        also('token', token, '0')
        also('open', open, '0')
        also('priority', priority, '0')
        also('needs', needs, '')
        also('own_attempts', own, '')
        also('root', goal.root, nil)
        if waiting ~= '' then
          set[#set + 1], set[#set + 2] = 'waited', waited_by(waiting)
          put(dependants, id, waiting)
        end
        call(unpack(set))
        if open == '0' then
          local score = ordinal - tonumber(priority) * RANK
          if not ready[needs] then
            ready[needs] = bulk('ZADD', usual .. needs)
          end
          best_of[needs] = min(best_of[needs] or score, score)
          put(ready[needs], int(score), id)
        else
          goal.blocked = goal.blocked + 1
        end
      end
    end
    call('HSET', nodes, unpack(pairs_of_nodes))
    call('HSET', deps, unpack(pairs_of_deps))
    call('RPUSH', order, unpack(ids))
    call('ZADD', dag .. ':tasks', unpack(ranks))
    if ready_of > 0 then
      call('ZADD', usual, unpack(scores))
    end
  end
  goal.ready = number - goal.blocked
  count_listed({ goal = goal_id, root = goal.root }, goal.ready)
  work = work + goal.ready
  flush(dependants)
  for _, gathered in pairs(ready) do
    flush(gathered)
  end
  for needs, score in pairs(best_of) do
    top('ZADD', 'LT', int(score), scope .. ':' .. needs)
    call('SADD', P .. 'index:needs:' .. scope, needs)
  end
end
