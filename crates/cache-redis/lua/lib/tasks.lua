-- Tasks: the one way in which one moves, and the indexes that follow from its state alone.

local KEPT_ERRORS = 50
-- A score orders by priority, then by age. Priorities stay below 2^20, ordinals below 2^33: exact.
local RANK = 8589934592

local function task_of(id)
  local task = read(P .. 'task:' .. id)
  -- What a plan leaves out.
  if task then
    task.attempt, task.interruptions, task.open = task.attempt or 0, task.interruptions or 0, task.open or 0
    task.priority, task.token, task.needs = task.priority or 0, task.token or 0, task.needs or ''
  end
  -- What is left of a goal that is being removed is not there; all of it was finished.
  if task and task.ended_at and call('EXISTS', P .. 'goal:' .. task.goal) == 0 then
    return nil
  end
  return task
end

-- No task begins below this token: the greatest of any that was forgotten.
local function forgotten_token()
  return tonumber(call('GET', P .. 'index:token') or '0')
end

local function forget_token(token)
  if token > forgotten_token() then
    call('SET', P .. 'index:token', int(token))
  end
end

local function claimable(task)
  return task.status == 'ready' and not task.not_before
end

-- Whether a task lies in the indexes where it did.
local function stays(old, new)
  if not old or not new or old.status ~= new.status then
    return false
  elseif new.status == 'ready' then
    return old.not_before == new.not_before and old.priority == new.priority and old.needs == new.needs
  end
  return new.status ~= 'running' or old.lease_expires == new.lease_expires
end

-- The goal under which a task is found when it is ready: the one above all others that its own is below.
local function scope_of(task)
  return task.root or task.goal
end

-- Under a goal above all others lie its own ready tasks and those of goals below it: there the latter are counted,
-- and with their own goal, so that each goal knows its own.
local function count_listed(task, by)
  if task.root then
    count(task.goal, 'listed', by)
    count(task.root, 'below', by)
  end
end

-- A group of ready tasks: those of a goal, and of all below it, that need the same. Each is in `index:ready` with
-- a score that its best task does not fall below; that one is empty, or has become worse, is noticed when it is
-- looked at.
local function enter(id, task)
  local group, number = scope_of(task) .. ':' .. task.needs, task.ordinal - task.priority * RANK
  local score = int(number)
  call('ZADD', P .. 'index:ready:' .. group, score, id)
  count_listed(task, 1)
  if not is_below(group, number) and top('ZADD', 'LT', score, group) == 1 then
    call('SADD', P .. 'index:needs:' .. scope_of(task), task.needs)
  end
end

local function index(id, old, new)
  if stays(old, new) then
    return
  end
  if old then
    if claimable(old) then
      call('ZREM', P .. 'index:ready:' .. scope_of(old) .. ':' .. old.needs, id)
      count_listed(old, -1)
    elseif old.status == 'ready' then
      call('ZREM', P .. 'index:waits', id)
      count(old.goal, 'waiting', -1)
    end
  end
  if new then
    if claimable(new) then
      enter(id, new)
    elseif new.status == 'ready' then
      call('ZADD', P .. 'index:waits', int(new.not_before), id)
      count(new.goal, 'waiting', 1)
      due_from(new.not_before)
    elseif new.status == 'running' then
      if not old or old.status ~= 'running' then
        hold(new.owner, match(new.claim, '\t(.*)'), id, new.lease_expires)
      else
        lease(new.owner, new.lease_expires)
      end
    end
  end
end

local function lock_as(id, old, new)
  if new and new.status == 'running' then
    if not old or old.lease_expires ~= new.lease_expires or old.token ~= new.token or old.status ~= 'running' then
      lock(id, new.owner, int(new.token), new.lease_expires)
    end
  elseif old and old.status == 'running' then
    unlock(id)
  end
end

-- Writes a task; its indexes follow from the pair of states.
local function put_task(id, old, new)
  index(id, old, new)
  lock_as(id, old, new)
  if new then
    write(P .. 'task:' .. id, old, new)
  else
    call('DEL', P .. 'task:' .. id)
  end
  if old and old.status == 'running' and not (new and new.status == 'running') then
    end_lease(id)
  end
end

local IN_ATTEMPT = { ['task.claimed'] = true, ['task.progress'] = true, ['task.done'] = true }

local function tell(id, task, event, end_of)
  local kind, reason = event[1], event[2]
  local what = { goal = task.goal, task = id, reason = reason }
  if end_of or IN_ATTEMPT[kind] then
    what.agent, what.token = task.owner, int(task.token)
    what.attempt = end_of and end_of.attempt or int(task.attempt)
  end
  if kind == 'task.retry' and task.not_before then
    what.data = '{"not_before":"' .. iso(task.not_before) .. '"}'
  end
  say(kind, what)
end

-- Makes a move: state, indexes, counts, history and event, all but the goal's status, which a verb
-- settles with `evaluate` once it is through with the goal's tasks. Returns the task after it, or nil
-- and a refusal.
local function make(id, old, name, by)
  local new, event, end_of = moves[name](old, draft(old), by)
  if not new then
    return nil, event
  end
  if end_of then
    local key = P .. 'task:' .. id .. ':errors'
    call('RPUSH', key, cjson.encode(end_of))
    call('LTRIM', key, -KEPT_ERRORS, -1)
    enter_error(old.goal, id, end_of)
  end
  put_task(id, old, new)
  if old.status ~= new.status then
    count(old.goal, old.status, -1)
    count(old.goal, new.status, 1)
  end
  if claimable(new) and not claimable(old) then
    work = work + 1
  end
  if event then
    tell(id, new, event, end_of)
  end
  return new
end

-- Makes a move that stands alone, and settles the goal's status, which follows from the counts alone.
local function make_alone(id, old, name, by)
  local new, refusal = make(id, old, name, by)
  if new and new.status ~= old.status then
    evaluate(old.goal)
  end
  return new, refusal
end

-- Nodes. Those that the answers of several verbs in one call need are read at its end, those of a goal at once:
-- `asked` has by goal its tasks, and the answers with the place of the node in each.
local nodes = { asked = {} }

-- Where those of a goal are. Most calls are about the same goal as the one before.
function nodes.key(goal)
  if here.goal ~= goal then
    here.goal, here.nodes = goal, P .. 'dag:' .. goal .. ':nodes'
  end
  return here.nodes
end

function nodes.ask(goal, id, reply)
  local asked = nodes.asked[goal]
  if not asked then
    asked = { ids = {}, replies = {}, places = {} }
    nodes.asked[goal] = asked
  end
  local at = #asked.ids + 1
  asked.ids[at], asked.replies[at], asked.places[at] = id, reply, 3
end

-- The newest of these answers became the end of another one.
function nodes.become(goal, old, new)
  local asked = goal and nodes.asked[goal]
  local at = asked and #asked.ids
  if at and asked.replies[at] == old then
    asked.replies[at], asked.places[at] = new, #new - #old + 3
  end
end

function nodes.tell()
  for goal, asked in next, nodes.asked do
    local ids, replies, places = asked.ids, asked.replies, asked.places
    local found = redis.pcall('HMGET', nodes.key(goal), unpack(ids))
    for at = 1, #ids do
      local reply = replies[at]
      if found.err then
        -- Called alone it says what is wrong.
        for part = #reply, 2, -1 do
          reply[part] = nil
        end
        reply[1] = 'alone'
      else
        reply[places[at]] = found[at] or ''
      end
    end
  end
end

local function node_of(id, task)
  return call('HGET', nodes.key(task.goal), id)
end

-- When goals were made, as this call has read it.
local made_at

-- A task as Rust reads it: id, fields, node. It was made with its goal, unless it says when.
local function told_task(id, task)
  if not task.created_at then
    made_at = made_at or {}
    made_at[task.goal] = made_at[task.goal] or call('HGET', P .. 'goal:' .. task.goal, 'created_at')
    task.created_at = made_at[task.goal]
  end
  return { id, flat(task), node_of(id, task) or '' }
end

-- Ids of this list that other goals hold, each followed by that goal; and a goal whose removal has to be
-- finished first, if there is one.
local function taken(goal, ids)
  local found = {}
  for from = 1, #ids, 500 do
    local keys = {}
    for at = from, min(from + 499, #ids) do
      keys[#keys + 1] = P .. 'task:' .. ids[at]
    end
    if call('EXISTS', unpack(keys)) > 0 then
      for at, key in ipairs(keys) do
        local holder = call('HGET', key, 'goal')
        if holder and holder ~= goal then
          if call('EXISTS', P .. 'goal:' .. holder) == 0 then
            return found, holder
          end
          found[#found + 1] = ids[from + at - 1]
          found[#found + 1] = holder
        end
      end
    end
  end
  return found
end
