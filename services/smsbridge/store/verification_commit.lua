-- provider tag, verifications
-- A page is done: the cursor moves over it, and what became of its entities and numbers is counted, each number once.
-- ARGV: id, token, lease ms, where the page begins, where the next one does, JSON {e = {WORD = how many}, numbers = a list
-- of {digest, what is known, outcome, carrier, region}}.
-- Answers {ok, new = {OUTCOME = how many numbers were new}}; a repeat changes nothing, and is ok.
local id, token, lease = ARGV[1], ARGV[2], tonumber(ARGV[3])
local from, to, page = tonumber(ARGV[4]), tonumber(ARGV[5]), cjson.decode(ARGV[6])
assert(id ~= '' and lease > 0 and to >= from, 'verification_commit: an argument is missing')
local v = redis.call('HMGET', record(id), 'st', 'cur')
if not owned(id, token) or v[1] ~= 'running' then return cjson.encode({ ok = false }) end
redis.call('ZADD', T .. 'vruns', whole(now() + lease), id)
if num(v[2]) ~= from then return cjson.encode({ ok = num(v[2]) >= to }) end
local new, count, counts = {}, 0, T .. 'vc:' .. id
for _, item in ipairs(page.numbers) do
  if redis.call('HSETNX', T .. 'vn:' .. id, item[1], item[2]) == 1 then
    count = count + 1
    new[item[3]] = (new[item[3]] or 0) + 1
    redis.call('HINCRBY', counts, 'o|' .. item[3], 1)
    if item[4] ~= '' then redis.call('HINCRBY', counts, 'c|' .. item[4], 1) end
    if item[5] ~= '' then redis.call('HINCRBY', counts, 'g|' .. item[5], 1) end
  end
end
for word, many in pairs(page.e) do redis.call('HINCRBY', record(id), 'e:' .. word, whole(many)) end
redis.call('HINCRBY', record(id), 'n', whole(count))
redis.call('HSET', record(id), 'cur', whole(to))
return cjson.encode({ ok = true, new = new })
