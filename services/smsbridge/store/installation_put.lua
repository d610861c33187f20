-- Writes the sealed record of an installation where its revision is still the one that was read.
-- ARGV: the caller's own id of this write, the revision read (0 for none), the sealed record.
local write, expected, sealed = ARGV[1], tonumber(ARGV[2]), ARGV[3]
if not expected or not write or write == '' or not sealed or sealed == '' then
  return redis.error_reply('ERR installation_put wants a write id, a revision and a record')
end
local key = T .. 'record'
local v = redis.call('HMGET', key, 'revision', 'write')
local revision = num(v[1])
if v[2] == write then return cjson.encode({ stored = true, revision = revision }) end
if revision ~= expected then return cjson.encode({ stored = false, revision = revision }) end
redis.call('HSET', key, 'revision', revision + 1, 'write', write, 'sealed', sealed)
return cjson.encode({ stored = true, revision = revision + 1 })
