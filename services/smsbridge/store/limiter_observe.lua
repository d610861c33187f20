#!lua flags=allow-oom
-- portal tag
-- What an answer of the portal told about its limits. ARGV[1] JSON {seen, method, operating, reset_at, window, cap,
-- back_off, back_off_most, overload}: `reset_at` in unix seconds, the last three in ms. Keys as in limiter_acquire.lua,
-- and  flags: hash, conditions by the time they began.
-- `seen`: operating | rate_limited | overloaded | operating_time_over
local o = cjson.decode(ARGV[1])
local at = now()
local KEPT = 86400  -- seconds that a learned limit counts
local RESET_MARGIN = 2  -- as in limiter_acquire.lua

local function buckets()
  local flat, list_, sum = redis.call('HGETALL', T .. 'ob:' .. o.method), {}, 0
  for i = 1, #flat, 2 do
    local reset, seconds = num(flat[i]), num(flat[i + 1])
    if (reset + RESET_MARGIN) * 1000 <= at then
      redis.call('HDEL', T .. 'ob:' .. o.method, flat[i])
    else
      list_[#list_ + 1] = { reset = reset, seconds = seconds, name = flat[i] }
      sum = sum + seconds
    end
  end
  table.sort(list_, function(x, y) return x.reset < y.reset end)
  return list_, sum
end

-- The portal has forgotten more than we thought: the oldest goes first.
local function forget(list_, surplus)
  for _, bucket in ipairs(list_) do
    local less = math.min(surplus, bucket.seconds)
    surplus, bucket.seconds = surplus - less, bucket.seconds - less
    if bucket.seconds <= 0 then redis.call('HDEL', T .. 'ob:' .. o.method, bucket.name)
    elseif less > 0 then redis.call('HSET', T .. 'ob:' .. o.method, bucket.name, bucket.seconds) end
  end
end

local function note_cost(meta, commands, more)
  if commands == 0 then return end
  local old, new = redis.call('HGET', meta, 'cost'), more / commands
  -- A jump is somebody else's use of the method, or a bucket that we forgot before the portal did.
  if old then new = num(old) * 0.7 + math.min(new, num(old) * 4 + 0.1) * 0.3 end
  redis.call('HSET', meta, 'cost', new)
end

-- Commands of the flight that has landed, and whether no other was under way meanwhile. Answers of flights that
-- overlap come in any order: a lower figure is an older one then, and nobody knows how much of a higher one is whose.
local function landed(meta)
  local flights = T .. 'of:' .. o.method
  local flight = redis.call('LPOP', flights)
  local bar = flight and string.find(flight, '|', 1, true)
  local commands = bar and num(string.sub(flight, 1, bar - 1)) or 0
  local began = bar and num(string.sub(flight, bar + 1)) or at
  local alone = redis.call('LLEN', flights) == 0 and began >= num(redis.call('HGET', meta, 'landed'))
  redis.call('HSET', meta, 'landed', at)
  return commands, alone
end

-- The portal counts in ten buckets; `operating` is their sum, so whatever is more than we know was spent just now.
local function operating()
  local meta, key, length = T .. 'om:' .. o.method, T .. 'ob:' .. o.method, o.window / 10
  local list_, sum = buckets()
  local more = o.operating - sum
  local commands, alone = landed(meta)
  if more > 0 then
    local ends = (math.floor(at / 1000 / length) + 10) * length
    redis.call('HINCRBYFLOAT', key, string.format('%.3f', ends), more)
    if alone then note_cost(meta, commands, more) end
  elseif more < 0 and alone then
    forget(list_, -more)
  end
  -- Told is when the oldest leaves (some portals tell when the newest does): its clock is better than ours.
  local oldest = nil
  for _, bucket in ipairs(list_) do
    if bucket.seconds > 0 then oldest = bucket break end
  end
  if oldest and o.reset_at and o.reset_at ~= oldest.reset and math.abs(o.reset_at - oldest.reset) <= length then
    local seconds = redis.call('HGET', key, oldest.name)  -- with what was added just now
    redis.call('HDEL', key, oldest.name)
    redis.call('HINCRBYFLOAT', key, string.format('%.3f', o.reset_at), seconds)
  end
  redis.call('HSET', T .. 'bk', 'fails', 0)
  redis.call('HDEL', T .. 'flags', 'overload')
  local learned = redis.call('HGET', meta, 'learned_at')
  if learned and at - num(learned) > KEPT * 1000 then redis.call('HDEL', meta, 'limit', 'learned_at') end
end

local function over()
  local meta = T .. 'om:' .. o.method
  local _, sum = buckets()
  local until_ = o.reset_at and o.reset_at * 1000 or at + 60000
  redis.call('HSET', meta, 'stop', math.max(until_, at + 1000))
  redis.call('DEL', T .. 'of:' .. o.method)
  -- Its limit is lower than we thought, as far as we have seen enough of it.
  if sum >= 10 then redis.call('HSET', meta, 'limit', sum, 'learned_at', at) end
  redis.call('HSETNX', T .. 'flags', 'operating_time_over', at)
end

if o.seen == 'operating' then operating()
elseif o.seen == 'operating_time_over' then over()
elseif o.seen == 'overloaded' then
  redis.call('HSET', T .. 'bk', 'blocked', at + o.overload)
  redis.call('HSETNX', T .. 'flags', 'overload', at)
elseif o.seen == 'rate_limited' then
  local fails = redis.call('HINCRBY', T .. 'bk', 'fails', 1)
  local pause = math.min(o.back_off * 2 ^ math.min(fails - 1, 20), o.back_off_most)
  redis.call('HSET', T .. 'bk', 'level', o.cap, 'at', at, 'rest', at + pause)
else
  error('observe: nothing that is known was seen')
end
return '1'
