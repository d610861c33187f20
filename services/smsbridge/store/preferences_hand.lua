#!lua flags=allow-oom
-- any tag
-- What somebody set by hand in an entity of the CRM, for all its numbers. ARGV: the entity, channel (empty: none is set),
-- JSON list of its numbers' digests.
--   hand:DIGEST  hash, entity -> CHANNEL|SINCE_MS;  handof:ENTITY  JSON of {c, at, d}: what stands there because of it
-- Answers whether anything changed.
local entity, channel, digests = ARGV[1], ARGV[2], cjson.decode(ARGV[3])
assert(entity ~= '' and type(digests) == 'table', 'hand: an argument is missing')
local own = T .. 'handof:' .. entity
local before = redis.call('GET', own)
local known = before and cjson.decode(before) or { c = '', d = {} }
local wanted, left = {}, {}
if channel ~= '' then
  for _, digest in ipairs(digests) do wanted[digest] = true end
end
for _, digest in ipairs(known.d) do
  if wanted[digest] then left[digest] = true else redis.call('HDEL', T .. 'hand:' .. digest, entity) end
end
local same = known.c == channel
for digest in pairs(wanted) do same = same and left[digest] ~= nil end
for _, digest in ipairs(known.d) do same = same and wanted[digest] ~= nil end
if same then return cjson.encode(false) end
if next(wanted) == nil then
  redis.call('DEL', own)
  return cjson.encode(before ~= false)
end
local at = known.c == channel and known.at or now()
for _, digest in ipairs(digests) do
  redis.call('HSET', T .. 'hand:' .. digest, entity, channel .. '|' .. string.format('%d', at))
end
redis.call('SET', own, cjson.encode({ c = channel, at = at, d = digests }))
return cjson.encode(true)
