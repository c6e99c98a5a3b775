--[[
sweep: one pass of upkeep: expired leases, waits that are over, agents that fell silent.

KEYS[1]  epoch          <prefix>epoch; the prefix of all keys follows from it
ARGV[1]  where          "", or the number of the database and "/"; in tests the time, milliseconds since the Unix epoch
ARGV[2]  limit          at most this many of each kind

Returns  {"swept", expired, due, silent, next_due}   three lists; milliseconds or ""
]]
local limit = tonumber(ARGV[2])
local expired = expire_leases(limit)
local due = end_waits(limit)

-- Agents are told of by name.
local names = call('ZRANGEBYSCORE', P .. 'index:silence', '-inf', NOW_TEXT)
table.sort(names, before)
local silent = {}
for at = 1, min(#names, limit) do
  local name = names[at]
  local old = agent_of(name)
  local agent = draft(old)
  agent.silent = '1'
  put_agent(name, old, agent)
  say('agent.silent', { agent = name, reason = 'not heard since ' .. iso(agent.last_beat) })
  silent[at] = name
end
forget_agents(limit)
resume_removal(1000)
local next_at = next_due('index:silence')
finish()
return { 'swept', expired, due, silent, next_at }
