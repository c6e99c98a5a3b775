-- Locks: for people who look; the token in the hash decides. Those that go are gathered, so that several verbs
-- write it at once.

local unlocked = {}

local function lock(id, owner, token, expires_at)
  unlocked[id] = nil
  call('SET', P .. 'task:' .. id .. ':lock', owner .. ':' .. token, 'PX', int(max(expires_at - NOW, 1)))
end

local function unlock(id)
  if together then
    unlocked[id] = true
  else
    call('DEL', P .. 'task:' .. id .. ':lock')
  end
end

local function write_locks()
  if next(unlocked) then
    local gone = {}
    for id in pairs(unlocked) do
      gone[#gone + 1] = P .. 'task:' .. id .. ':lock'
    end
    for at = 1, #gone, BULK do
      call('DEL', unpack(gone, at, min(at + BULK - 1, #gone)))
    end
    unlocked = {}
  end
end
