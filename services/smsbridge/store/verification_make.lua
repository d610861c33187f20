-- provider tag, verifications
-- A new one, that somebody is to work at. ARGV: id, JSON of its fields, ms it is kept where nobody confirms it.
-- Answers {st}. A repeat with the same id changes nothing.
local id, fields, kept = ARGV[1], cjson.decode(ARGV[2]), tonumber(ARGV[3])
assert(id ~= '' and fields.st and kept > 0, 'verification_make: an argument is missing')
local there = redis.call('HGET', record(id), 'st')
if there then return cjson.encode({ st = there }) end
local at = now()
redis.call('HSET', record(id), 'made', whole(at), 'cur', 0)
for name, value in pairs(fields) do redis.call('HSET', record(id), name, value) end
redis.call('ZADD', T .. 'verifications', whole(at), id)
redis.call('ZADD', T .. 'vruns', whole(at), id)
each_key(id, function(key) redis.call('PEXPIRE', key, whole(kept)) end)
return cjson.encode({ st = fields.st })
