-- What an agent holds, in one field: a line for each claim, its request and its task. A settle leaves its
-- line, so that it need not look; lines are cut when there are many.

local HELD = 256

-- Lines that this call has read, by agent.
local lines = {}

local function held_by(agent)
  if not lines[agent] then
    lines[agent] = call('HGET', P .. 'index:agent:' .. agent, 'held') or '\n'
  end
  return lines[agent]
end

-- The tasks of these lines that run, with their lines; by whom is not looked at.
local function still_held(held)
  local tasks, kept = {}, {}
  for line, id in string.gmatch(held, '([^\n\t]+\t([^\n]+))') do
    tasks[#tasks + 1] = id
    kept[#kept + 1] = line
  end
  if #tasks == 0 then
    return tasks, kept
  end
  write_leases()
  local running, still = {}, {}
  for at, lease in ipairs(call('ZMSCORE', P .. 'index:leases', unpack(tasks))) do
    if lease then
      running[#running + 1] = tasks[at]
      still[#still + 1] = kept[at]
    end
  end
  return running, still
end

local function hold(agent, request, id)
  local held = held_by(agent) .. request .. '\t' .. id .. '\n'
  if #held > HELD then
    local _, still = still_held(held)
    still[#still + 1] = request .. '\t' .. id
    held = '\n' .. table.concat(still, '\n') .. '\n'
  end
  lines[agent] = held
  call('HSET', P .. 'index:agent:' .. agent, 'held', held)
end
