-- How a verb is called.

-- Looks where and when it is; false when this process does not know the deployment yet: then it may have
-- lost history, and the caller begins with `open`.
local function begin(keys, argv)
  P = string.sub(keys[1], 1, -6)
  -- While the slot of a deployment moves to another node of a cluster, each node has a part of the keys.
  -- Asking for two that there never are fails on both, before anything is written.
  if string.byte(P) == 123 then
    call('EXISTS', P .. 'nothing', P .. 'never')
  end
  NOW = tonumber(argv[1])
  PLACE = NOW and P or argv[1] .. P
  EPOCH = epochs[PLACE]
  if not EPOCH then
    return false
  end
  if not NOW then
    local time = call('TIME')
    NOW = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  end
  work, first_page = 0, nil
  -- What the last call left, and only that: most of these stay empty.
  lines, bounds = {}, {}
  if #told > 0 then
    told = {}
  end
  if next(goals) or next(goals_before) then
    goals, goals_before = {}, {}
  end
  if next(counted) then
    counted = {}
  end
  if next(pending) then
    pending = {}
  end
  if next(levels) then
    levels = {}
  end
  if next(unlocked) then
    unlocked = {}
  end
  looked, together = false, false
  return true
end

local function function_of(name, flags, callback)
  redis.register_function({
    function_name = 'LIBRARY_' .. name,
    flags = flags,
    callback = function(keys, argv)
      call = redis.call
      return callback(keys, argv)
    end,
  })
end

local bodies = {}

local function verb(name, flags, body)
  bodies[name] = body
  function_of(name, flags, function(keys, argv)
    if begin(keys, argv) then
      return body(argv)
    end
    return { 'unopened' }
  end)
end

local function to_its_end(name, argv)
  local reply = bodies[name](argv)
  keep()
  return reply
end

-- Runs a verb among others. What is gathered counts only if it comes to its end.
local function run_among(name, argv)
  local told_before, work_before = #told, work
  local ended, reply = pcall(to_its_end, name, argv)
  if ended then
    return reply
  end
  for at = #told, told_before + 1, -1 do
    told[at] = nil
  end
  work, goals, goals_before, counted, lines, bounds, first_page = work_before, {}, {}, {}, {}, {}, nil
  return { 'alone' }
end
