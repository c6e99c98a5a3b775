-- What is forgotten: the tasks of removed goals, in parts; agents that are long gone.

-- How many agents that are gone are kept.
local KEPT_AGENTS = 1000

-- Forgets up to `limit` tasks of a goal that was removed, and says whether any are left. The goal itself is
-- gone already, so nobody sees what is left; no id is given away before its token is remembered.
local function forget_part(goal, limit)
  local ids = call('ZPOPMIN', P .. 'removing:' .. goal, int(limit))
  local greatest = 0
  for at = 1, #ids, 2 do
    local key = P .. 'task:' .. ids[at]
    greatest = max(greatest, tonumber(call('HGET', key, 'token') or '0'))
    call('UNLINK', key, key .. ':lock', key .. ':errors')
  end
  forget_token(greatest)
  if call('EXISTS', P .. 'removing:' .. goal) == 1 then
    return true
  end
  call('ZREM', P .. 'index:removing', goal)
  return false
end

-- Goes on with a removal that somebody left.
local function resume_removal(limit)
  local goal = call('ZRANGE', P .. 'index:removing', 0, 0)[1]
  if goal then
    forget_part(goal, limit)
  end
end

-- Forgets up to `limit` of the agents that are gone for longest, beyond those that are kept.
local function forget_agents(limit)
  local excess = min(call('ZCARD', P .. 'index:gone') - KEPT_AGENTS, limit)
  if excess < 1 then
    return
  end
  for _, name in ipairs(call('ZRANGE', P .. 'index:gone', 0, int(excess - 1))) do
    if #still_held(name, held_by(name)) == 0 then
      local key = P .. 'agent:' .. name
      call('UNLINK', key .. ':registered', key .. ':heartbeat', key .. ':memory', key .. ':errors')
      -- That somebody paused it stays.
      call('HDEL', P .. 'index:agent:' .. name, 'life', 'held', 'due')
      call('ZREM', P .. 'index:gone', name)
      call('ZREM', P .. 'index:agents', name)
      call('ZREM', P .. 'index:silence', name)
    end
  end
end
