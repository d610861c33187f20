-- What the scripts share that move attempts which SMSC accepted: receipts, questions, timers.
--
-- Further fields of attempt K: fb (when SMSC itself fell back to SMS), dl (delivered, but its leg waits to be read),
-- pc (how often status.php was asked). Further keys of the provider tag:
--   grace    sorted set, forbidden attempts by the end of the time in which a moderator may release them
--   learn    hash, phone -> CHANNEL|MS, what hlr has not been told yet
--   al:PHONE when an SMS was last delivered to it: whoever wants to know whether it lives need not pay for that

local function learn(to, channel)
  if to then redis.call('HSET', T .. 'learn', to, channel .. '|' .. now()) end
end

-- Legs that have not left us are not needed once another one arrived. One that is on the wire cannot be recalled.
local function drop_unsent_legs(mid, k)
  local key = T .. 'm:' .. mid
  for j = 1, num(redis.call('HGET', key, 'na')) do
    local st = redis.call('HGET', key, 'a' .. j .. ':st')
    if j ~= k and (st == 'planned' or st == 'queued') then
      set_attempt(mid, j, 'failed', { rs = 'Cancelled' })
      redis.call('HDEL', T .. 'plans', mid .. '|' .. j)
      event(mid, 'not_needed', { attempt = j })
    end
  end
end

-- An attempt arrived. `x`: by, read, learn.
local function arrived(mid, k, x)
  local key, p = T .. 'm:' .. mid, 'a' .. k .. ':'
  local v = redis.call('HMGET', key, p .. 'ch', p .. 'by', 'na', 'to', p .. 'nat')
  local by = x.by or v[2] or nil
  set_attempt(mid, k, 'delivered', { by = by, rd = x.read and '1' or nil, rs = '' })
  redis.call('ZREM', T .. 'grace', mid .. '|' .. k)
  stop_cascade(mid)
  drop_unsent_legs(mid, k)
  if (by or v[1]) == 'sms' and v[4] then redis.call('SET', T .. 'al:' .. v[4], now(), 'PX', ALIVE_KEPT_MS) end
  if not x.learn then return end
  if by == 'viber' and k == num(v[3]) then learn(v[4], 'viber')
  elseif k > 1 and v[1] == 'sms' then learn(v[4], 'sms') end
end

-- A leg that must be read, not only delivered, still holds the cascade open: nothing of the next one has left us.
local function waits_to_be_read(mid, k)
  local v = redis.call('HMGET', T .. 'm:' .. mid, 'na', 'nx', 'a' .. (k + 1) .. ':rk')
  if k == num(v[1]) then return v[2] == '1' end
  return num(v[3]) < RANKS.sent
end

-- What was delivered but not read counts as delivered once the next leg is on its way, or none is left.
local function promote(mid)
  local key = T .. 'm:' .. mid
  for k = 1, num(redis.call('HGET', key, 'na')) do
    local v = redis.call('HMGET', key, 'a' .. k .. ':dl', 'a' .. k .. ':rk')
    if v[1] and num(v[2]) < FINAL_RANK and not waits_to_be_read(mid, k) then
      arrived(mid, k, {})
      event(mid, 'delivered', { attempt = k, why = 'not_read_in_time' })
      derive(mid)
    end
  end
end

-- The grace of a forbidden attempt is over.
local function refuse_forbidden(mid, k)
  local key, p = T .. 'm:' .. mid, 'a' .. k .. ':'
  local v = redis.call('HMGET', key, p .. 'st', 'na', 'nx')
  if v[1] ~= 'forbidden' then return end
  set_attempt(mid, k, 'failed', {})
  event(mid, 'grace_over', { attempt = k })
  if v[3] == '1' and k == num(v[2]) then plan_next(mid, 'forbidden') end
  derive(mid)
end

-- No receipt came in time: nobody can say any more.
local function close_attempt(mid, k)
  local key, p = T .. 'm:' .. mid, 'a' .. k .. ':'
  local v = redis.call('HMGET', key, p .. 'dl', p .. 'st', 'na', 'nx')
  redis.call('ZREM', T .. 'poll', mid .. '|' .. k)
  if v[2] == 'forbidden' then return refuse_forbidden(mid, k) end
  if v[1] then
    arrived(mid, k, {})
  else
    set_attempt(mid, k, 'unknown', { rs = 'OutcomeUnknown' })
  end
  event(mid, 'closed', { attempt = k })
  if v[4] == '1' and k == num(v[3]) and not v[1] then plan_next(mid, 'closed') end
  derive(mid)
end

-- The next question about an attempt that is still open: doubling up to POLL_MOST_MS, and at its close.
local function ask_again(mid, k)
  local key, p = T .. 'm:' .. mid, 'a' .. k .. ':'
  local v = redis.call('HMGET', key, p .. 'rk', p .. 'close')
  if num(v[1]) < RANKS.sent or num(v[1]) >= FINAL_RANK then return end
  local asked = math.min(redis.call('HINCRBY', key, p .. 'pc', 1), 30)
  local at = now() + math.min(FIRST_POLL_MS * 2 ^ asked, POLL_MOST_MS)
  if v[2] then at = math.min(at, num(v[2])) end
  redis.call('ZADD', T .. 'poll', at, mid .. '|' .. k)
end
