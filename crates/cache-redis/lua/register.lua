--[[
register: an agent enters, or is refreshed under the same incarnation. A silent incarnation is replaced
and its leases are freed.

KEYS[1]  epoch          <prefix>epoch; the prefix of all keys follows from it
ARGV[1]  where          "", or the number of the database and "/"; in tests the time, milliseconds since the Unix epoch
ARGV[2]  name           of the agent
ARGV[3]  fields         JSON: what is stored of the registration, all texts
ARGV[4]  data           of the event, JSON
ARGV[5]  reason         of the interruption of what a replaced incarnation held

Returns  {"registered", replaced, freed}   the replaced incarnation or "", a list
         {"taken", incarnation, last_beat, silent_from}
]]
local name = ARGV[2]
local fields = cjson.decode(ARGV[3])
fields.ttl = tonumber(fields.ttl)
local old = agent_of(name)
if old and not old.end_reason then
  if old.incarnation == fields.incarnation then
    fields.started = old.started
    fields.phase = old.phase
    fields.task = old.task
    fields.last_beat = NOW
    put_agent(name, old, fields)
    return { 'registered', '', {} }
  end
  if silent_from(old) > NOW then
    return { 'taken', old.incarnation, int(old.last_beat), int(silent_from(old)) }
  end
end
local replaced = old and not old.end_reason and old.incarnation or nil

fields.started = NOW
fields.last_beat = NOW
fields.phase = 'created'
put_agent(name, old, fields)
call('ZADD', P .. 'index:agents', 0, name)
say('agent.registered', {
  agent = name,
  goal = fields.goal,
  reason = replaced and ('replaces silent incarnation `' .. replaced .. '`') or nil,
  data = ARGV[4],
})
local freed = {}
if replaced then
  freed = free(name, replaced, 'interrupt', { reason = ARGV[5], limit = tonumber(fields.interruption_limit) })
end
finish()
return { 'registered', replaced or '', freed }
