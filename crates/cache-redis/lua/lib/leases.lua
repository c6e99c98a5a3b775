-- Leases and locks. What a call changes of them is gathered, so that several verbs write it at once.

-- By task, when its lease ends; false when it has none any more.
local leases = {}
-- Tasks whose lock goes.
local unlocked = {}

-- No lease and no wait ends before `dues`, as far as this process has seen to it.
local function due_from(moment)
  local due = dues[PLACE]
  if due and moment < due.at then
    due.at = moment
  end
end

-- A lock is for people who look; the token in the hash decides.
local function lock(id, owner, token, expires_at)
  unlocked[id] = nil
  call('SET', P .. 'task:' .. id .. ':lock', owner .. ':' .. token, 'PX', int(math.max(expires_at - NOW, 1)))
end

local function lease(id, expires_at)
  leases[id] = int(expires_at)
  due_from(expires_at)
end

local function end_lease(id)
  leases[id] = false
end

local function unlock(id)
  unlocked[id] = true
end

-- Before leases are read, and at the end.
local function write_leases()
  if next(leases) then
    local begun, ended = bulk('ZADD', P .. 'index:leases'), bulk('ZREM', P .. 'index:leases')
    for id, expires_at in pairs(leases) do
      if expires_at then
        put(begun, expires_at, id)
      else
        put(ended, id)
      end
    end
    flush(begun)
    flush(ended)
    leases = {}
  end
  if next(unlocked) then
    local gone = {}
    for id in pairs(unlocked) do
      gone[#gone + 1] = P .. 'task:' .. id .. ':lock'
    end
    for at = 1, #gone, BULK do
      call('DEL', unpack(gone, at, math.min(at + BULK - 1, #gone)))
    end
    unlocked = {}
  end
end
