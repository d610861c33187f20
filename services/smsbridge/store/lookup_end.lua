#!lua flags=allow-oom
-- account tag, numbers
-- What became of numbers of one look-up. ARGV: id, JSON list of items, JSON of what becomes of the look-up itself.
-- An item is {d = digests, how, ...}:
--   paid        SMSC took it; cost, est. Its result comes later
--   heard       a result, and more (the region) may follow; r, c, g, why, keep (ms)
--   known       the result, and the end; as heard, with cost, est where it was not settled yet
--   failed      nothing was bought; why, rest: it is not tried again for so long (ms)
--   unanswered  nobody knows whether it was bought, so it counts as spent; rest: how long nobody asks again (ms)
-- The look-up: {} nothing, {close = true}, or {st, nf, in_ms = its next question, hurry = not later than in_ms}.
-- An item whose number has another look-up under way by now changes nothing.
-- Answers {changed = how many did, spent, est, quoted = what was settled by that, and by verifications' quotes}.
local id, items, job = ARGV[1], cjson.decode(ARGV[2]), cjson.decode(ARGV[3])
assert(id ~= '', 'lookup_end: an argument is missing')
local at, changed, spent, guessed, quoted = now(), 0, 0, 0, 0

local function learn(key, item)
  redis.call('HSET', key, 'r', item.r, 'c', item.c or '', 'g', item.g or '', 'why', item.why or '', 'at', whole(at))
  redis.call('HDEL', key, 'fw', 'ft')
  keep(key, item.keep)
end

local function pay(key, cost, estimated)
  local v = redis.call('HMGET', key, 'pr', 'vf')
  local reserved = v[1]
  if not reserved then return end
  local paid, guess = cost or num(reserved), estimated or not cost
  settle(key, paid, guess)
  spent = spent + paid
  if v[2] then quoted = quoted + paid end
  if guess then guessed = guessed + paid end
end

local HOW = {
  paid = function(key, item) pay(key, item.cost, item.est) end,
  heard = learn,
  known = function(key, item)
    pay(key, item.cost, item.est)
    end_flight(key)
    learn(key, item)
  end,
  failed = function(key, item)
    settle(key, nil)
    end_flight(key)
    redis.call('HSET', key, 'fw', item.why, 'ft', whole(at + item.rest))
    keep(key, item.rest)
  end,
  unanswered = function(key, item)
    pay(key)
    redis.call('HSET', key, 'st', 'unanswered', 'to', whole(at + item.rest))
    keep(key, item.rest)
  end,
}

for _, item in ipairs(items) do
  local key = number_key(item.d)
  if redis.call('HGET', key, 'id') == id then
    HOW[item.how](key, item)
    changed = changed + 1
  end
end
local look_key = T .. 'look:' .. id
if job.close then
  redis.call('DEL', look_key)
  redis.call('ZREM', T .. 'looks', id)
elseif redis.call('EXISTS', look_key) == 1 then
  if job.st then redis.call('HSET', look_key, 'st', job.st) end
  if job.nf then redis.call('HSET', look_key, 'nf', whole(job.nf)) end
  if job.in_ms then
    local due = at + job.in_ms
    if job.hurry then due = math.min(due, num(redis.call('ZSCORE', T .. 'looks', id))) end
    redis.call('ZADD', T .. 'looks', whole(due), id)
  end
end
return cjson.encode({ changed = changed, spent = spent, est = guessed, quoted = quoted })
