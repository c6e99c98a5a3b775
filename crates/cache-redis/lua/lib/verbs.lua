-- How a verb is called.

-- Looks where and when it is; false when this process does not know the deployment yet: then it may have
-- lost history, and the caller begins with `open`.
local function begin(keys, argv)
  local where, key = argv[1], keys[1]
  here = ways[where] and ways[where][key]
  NOW = nil
  if not here then
    NOW = tonumber(where)
    local prefix = sub(key, 1, -6)
    here = deployments[NOW and prefix or where .. prefix]
  end
  P = here and here.prefix or sub(key, 1, -6)
  -- While the slot of a deployment moves to another node of a cluster, each node has a part of the keys.
  -- Asking for two that there never are fails on both, before anything is written.
  if byte(P) == 123 then
    call('EXISTS', P .. 'nothing', P .. 'never')
  end
  if not here then
    return false
  end
  EPOCH = here.epoch
  if NOW then
    NOW_TEXT = int(NOW)
  else
    ways[where] = ways[where] or {}
    ways[where][key] = here
    local time = call('TIME')
    local seconds, micros = time[1], time[2]
    NOW_TEXT = #micros == 6 and seconds .. sub(micros, 1, 3) or format('%s%03d', seconds, floor(micros / 1000))
    NOW = NOW_TEXT + 0
  end
  work, first_page, made_at = 0, nil, nil
  -- What the last call left, and only that: most of these stay empty.
  for agent in next, lines do
    lines[agent], bounds[agent] = nil, nil
  end
  if told[1] then
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
  if hand[1] then
    hand = {}
  end
  if next(nodes.asked) then
    nodes.asked = {}
  end
  looked, together = false, false
  return true
end

local function function_of(name, flags, callback)
  redis.register_function({
    function_name = 'LIBRARY_' .. name,
    flags = flags,
    callback = function(keys, argv)
      if not call then
        reach()
      end
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
  hand = {}
  return { 'alone' }
end
