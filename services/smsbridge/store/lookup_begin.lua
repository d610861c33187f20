-- account tag, numbers
-- Begins the look-up of those numbers that nobody knows, nobody asks about, and the budget has money for: their
-- intent and their reservation. ARGV: id, provider's uid, budget, price of one, life ms of the flight, JSON of ages, JSON
-- list of lists of digests, and for a look-up whose results come later its sealed body and ms until it is asked about; the
-- verification whose quote pays instead of the day, empty for none.
-- Answers a list of {known, flight, failed, mine = true, budget = true}. A repeat with the same id reserves nothing anew.
local id, uid, budget, price, life = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local ages, asked = cjson.decode(ARGV[6]), cjson.decode(ARGV[7])
local body, first, verification = ARGV[8], tonumber(ARGV[9]), ARGV[10] or ''
assert(id ~= '' and uid ~= '' and budget >= 0 and price >= 0 and life > 0 and #asked > 0, 'lookup_begin: an argument is missing')
local at, day = now(), today()
local purse = purse_key(uid, day, verification)
local money = redis.call('HMGET', purse, 'res', 'spent')
local left = budget - num(money[1]) - num(money[2])
local answers, mine, reserved = {}, {}, 0
for i, digests in ipairs(asked) do
  local key = number_key(digests)
  local found = look(key, ages)
  if found.flight and found.flight.id == id then
    found = { mine = true }
    mine[#mine + 1] = i
  elseif not (found.known or found.flight or found.failed) then
    if left - reserved < price then
      found = { budget = true }
    else
      settle(key, num(redis.call('HGET', key, 'pr')), true)  -- of a look-up that nobody came to the end of
      reserved = reserved + price
      redis.call('HDEL', key, 'fw', 'ft', 'vf')
      redis.call('HSET', key, 'id', id, 'to', whole(at + life), 'by', uid, 'pr', whole(price), 'dy', day, 'st', 'asked')
      if verification ~= '' then redis.call('HSET', key, 'vf', verification) end
      keep(key, life + DAY_MS)
      found = { mine = true }
      mine[#mine + 1] = i
    end
  end
  answers[i] = found
end
if reserved > 0 then
  redis.call('HINCRBY', purse, 'res', whole(reserved))
  redis.call('PEXPIRE', purse, BUDGET_KEPT_MS)
end
if body ~= '' and #mine > 0 and redis.call('EXISTS', T .. 'look:' .. id) == 0 then
  redis.call('HSET', T .. 'look:' .. id, 'uid', uid, 'body', body, 'mine', cjson.encode(mine), 'st', 'asked', 'nf', 0, 'made', whole(at))
  redis.call('PEXPIRE', T .. 'look:' .. id, whole(life + 7 * DAY_MS))  -- should its account leave the registry
  redis.call('ZADD', T .. 'looks', whole(at + first), id)
end
return cjson.encode(answers)
