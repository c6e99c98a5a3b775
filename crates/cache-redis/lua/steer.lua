--[[
steer: what a person wants. The answer is kept, so that a repeated request has no further effect.

KEYS[1]  epoch          <prefix>epoch; the prefix of all keys follows from it
ARGV[1]  where          "", or the number of the database and "/"; in tests the time, milliseconds since the Unix epoch
ARGV[2]  request        names the request
ARGV[3]  directive      JSON: do (pause, resume, drop-task, elevate, retry, cancel, cancel-goal,
                        flush-memory), and of it agent, task, goal, priority
ARGV[4]  reason         of the moves and events that it asks for
ARGV[5]  data           of its own event, JSON
ARGV[6]  greatest       the greatest priority there is
ARGV[7]  kept           how many answers are kept

Returns  {"applied", detail}
         {"refused", detail}
]]
local request = ARGV[2]
local answer = call('HGET', P .. 'directives', request)
if answer then
  return { sub(answer, 1, 7), sub(answer, 9) }
end
local wanted = cjson.decode(ARGV[3])
local reason = ARGV[4]
local applied, detail

local function direct(name, by, say_it)
  local id = wanted.task
  local task = task_of(id)
  if not task then
    return false, 'no such task task=`' .. id .. '`'
  end
  local new, refusal = make_alone(id, task, name, by)
  if not new then
    return false, 'cannot ' .. refusal[3] .. ' a ' .. refusal[2] .. ' task task=`' .. id .. '`'
  end
  return true, say_it(task, new)
end

local obey = {
  ['pause'] = function()
    if paused(wanted.agent) then
      return true, 'already paused'
    end
    call('SET', P .. 'agent:' .. wanted.agent .. ':paused', NOW_TEXT)
    call('HSET', P .. 'index:agent:' .. wanted.agent, 'paused', '1')
    say('agent.paused', { agent = wanted.agent, reason = reason })
    return true, 'agent `' .. wanted.agent .. '` takes no more tasks'
  end,
  ['resume'] = function()
    if not paused(wanted.agent) then
      return true, 'not paused'
    end
    call('DEL', P .. 'agent:' .. wanted.agent .. ':paused')
    call('HDEL', P .. 'index:agent:' .. wanted.agent, 'paused')
    say('agent.resumed', { agent = wanted.agent, reason = reason })
    work = work + 1
    return true, 'agent `' .. wanted.agent .. '` takes tasks again'
  end,
  ['flush-memory'] = function()
    if call('DEL', P .. 'agent:' .. wanted.agent .. ':memory') == 0 then
      return true, 'agent `' .. wanted.agent .. '` remembers nothing'
    end
    return true, 'memory of agent `' .. wanted.agent .. '` was emptied'
  end,
  ['drop-task'] = function()
    return direct('drop', { reason = reason }, function(task)
      return 'task `' .. wanted.task .. '` was taken from `' .. (task.owner or 'nobody') .. '`'
    end)
  end,
  ['elevate'] = function()
    if wanted.priority > tonumber(ARGV[6]) then
      return false, format('a priority is at most %s, not %.0f', ARGV[6], wanted.priority)
    end
    return direct('elevate', wanted.priority, function(task)
      return format('priority of task `%s` was %.0f and is %.0f', wanted.task, task.priority, wanted.priority)
    end)
  end,
  ['retry'] = function()
    local task = task_of(wanted.task)
    if not task then
      return false, 'no such task task=`' .. wanted.task .. '`'
    end
    local goal = goal_of(task.goal)
    local more = task.own_attempts or goal.max_attempts
    -- Of a goal that was cancelled as a whole, something is wanted again.
    if moves['retry'](task, draft(task), more) then
      goal.called_off = false
    end
    return direct('retry', more, function(old, new)
      if old.status == 'ready' then
        return 'task `' .. wanted.task .. '` waits no longer for its next attempt'
      end
      return format('task `%s` is %s and has %.0f more attempts', wanted.task, new.status,
        new.max_attempts - new.attempt)
    end)
  end,
  ['cancel'] = function()
    return direct('cancel', { reason = reason }, function()
      return 'task `' .. wanted.task .. '` was cancelled'
    end)
  end,
  ['cancel-goal'] = function()
    local id = wanted.goal
    local goal = goal_of(id)
    if not goal then
      return false, 'no such goal goal=`' .. id .. '`'
    end
    local left = unfinished(goal)
    if left == 0 then
      return false, 'goal `' .. id .. '` is ' .. goal.status .. ': none of its tasks is unfinished'
    end
    goal.called_off = '1'
    for _, task in ipairs(call('LRANGE', P .. 'dag:' .. id .. ':order', 0, -1)) do
      -- Finished ones have nothing to call off.
      make(task, task_of(task), 'cancel', { reason = reason })
    end
    evaluate(id)
    return true, int(left) .. ' unfinished tasks of goal `' .. id .. '` were cancelled'
  end,
}

applied, detail = obey[wanted['do']]()
local word = applied and 'applied' or 'refused'
say('directive.' .. word, {
  goal = wanted.goal, task = wanted.task, agent = wanted.agent, reason = detail, data = ARGV[5],
})
call('HSET', P .. 'directives', request, word .. ' ' .. detail)
if call('RPUSH', P .. 'directives:order', request) > tonumber(ARGV[7]) then
  call('HDEL', P .. 'directives', call('LPOP', P .. 'directives:order'))
end
finish()
return { word, detail }
