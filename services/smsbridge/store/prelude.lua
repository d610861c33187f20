-- What every script of the provider tag shares: the message record and its moves.
--
-- Stands behind prelude_common.lua. The tag is "{p:UID}:"; every key is the tag and a short name. Times are Unix
-- milliseconds of the store's clock. Constants in capitals are put in front by store/scripts.py.
--
--   m:MID    hash, the message: to th org lane rep route legs rule doc trace st rs acc exp na nx
--            ft (when it became final last)
--            lk (since when it waits for a look-up of its number, -1 once it does no more)
--            pv (version of what the portal should show) pd (what it was told last) pq ("1" once it was told queued)
--            tok (event token of its workflow step, until that is answered) pa (when it was, or was found over)
--            aK:FIELD of attempt K: ch st rk gid gi cid sid own prof acct nat at close cnt cost est rs by fin rd
--   h:MID    list, its story: JSON of {at, what, ...}, at most 50
--   d:MID    dedupe mark
--   t:TH     hash, a text by digest: x, n (how many open messages use it)
--   g:GID    sorted set, references "MID|K" by the time they entered; gi:GID what the group's members share
--   due:LANE sorted set, groups by the time they are due
--   later    sorted set, references by the time they go (back) to their group
--   tokens   sorted set, held messages by the time their application token is compared again
--   exp      sorted set, messages not yet handed over, by the end of their validity
--   b:CID    hash, a batch; claims and intents: sorted sets of batches by lease and by the time of the next step
--   ready:LANE list, compositions that a split made
--   s:STATE  set, messages by state (held, queued, sending, sent); fin: hash, final ones by state; n: counters
--   done     hash CHANNEL|STATE, how often a final state was reached: only grows
--   ends     hash STATE|REASON, how often another final state than `delivered` was reached, and why: only grows
--   ages     hash STAGE|LABEL|CLASS, how often a stage was reached at an age of that class (its upper bound in ms, or
--            `more`); STAGE|LABEL|sum, all these ages together (ms): only grows
--   subs     hash "MID|K", submissions to tell status;  plans: hash "MID|K", attempts to be handed to the sender
--   poll     sorted set, references by the time of the next status question; casc: messages by the end of a leg's wait
--   dirty    sorted set, messages by the time their portal status is to be written
--   steps    sorted set, messages by the time their workflow step is to be answered
--   primary  hash, on a store with replicas: id of the primary seen last, from when on may be claimed
--   to:PHONE list, the newest messages to a number, at most PHONE_MESSAGES_KEPT
--   mark     written before WAITAOF (store/connection.py)

local function split_ref(ref)
  local bar = string.find(ref, '|', 1, true)
  return string.sub(ref, 1, bar - 1), tonumber(string.sub(ref, bar + 1))
end

local function event(mid, what, detail)
  local e = detail or {}
  e.at = now()
  e.what = what
  local key = T .. 'h:' .. mid
  local length = redis.call('RPUSH', key, cjson.encode(e))
  -- The first events tell where a message came from; of the others the oldest go.
  if length > EVENTS_KEPT then
    local fourth = redis.call('LINDEX', key, 3)
    redis.call('LREM', key, 1, fourth)
  end
end

-- After a change of primary nothing is claimed for `wait` ms: POSTs that only the old one knew of may be under way.
-- Which one was seen last is kept beside the data, so whoever comes first after the change finds an id that is not
-- the store's own. Answers how long that still is, and whether the change was seen just now. `wait` 0: no replicas.
local function new_primary(wait)
  if wait == 0 then return 0, false end
  local key, id = T .. 'primary', string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
  local v = redis.call('HMGET', key, 'id', 'from')
  if v[1] == id then return math.max(0, num(v[2]) - now()), false end
  local from = v[1] and now() + wait or 0
  redis.call('HSET', key, 'id', id, 'from', from)
  return from > 0 and wait or 0, from > 0
end

local FINAL = { delivered = true, undelivered = true, failed = true, expired = true, cancelled = true, outcome_unknown = true }
local ORDER = { held = 0, queued = 1, sending = 2, sent = 3 }

local function keep_text(th, text, count)
  local key = T .. 't:' .. th
  if redis.call('HINCRBY', key, 'n', count) == count then
    redis.call('HSETNX', key, 'x', text)
    redis.call('PERSIST', key)
  end
end

local function drop_text(th)
  local key = T .. 't:' .. th
  if redis.call('HINCRBY', key, 'n', -1) <= 0 then redis.call('PEXPIRE', key, TEXT_KEPT_MS) end
end

-- A workflow step takes one answer: its token goes with the first, and without it there is nothing more to say.
local function step_want(m)
  if not m.tok or m.tok == '' then return nil end
  if FINAL[m.st] then return m.st == 'outcome_unknown' and 'unknown' or m.st end
  if m.rep == 'robot_at_once' and m.st ~= 'held' then return 'queued' end
  return nil
end

local STEPS = { robot = true, robot_at_once = true }

-- What the portal should be told now, or nil. It shows "sent" by itself, so that is written only after a written "queued".
local function portal_want(m)
  if STEPS[m.rep] then return step_want(m) end
  if m.rep ~= 'portal' then return nil end
  local st, want = m.st, nil
  if st == 'delivered' or st == 'undelivered' or st == 'failed' then want = st
  elseif st == 'expired' or st == 'cancelled' then want = 'failed'
  elseif st == 'sent' or st == 'outcome_unknown' then
    if m.pq == '1' then want = 'sent' end
  elseif now() >= num(m.acc) + PORTAL_QUEUED_AFTER_MS then want = 'queued' end
  if want == m.pd then return nil end
  return want
end

local function portal_fields(mid)
  local v = redis.call('HMGET', T .. 'm:' .. mid, 'rep', 'st', 'acc', 'pq', 'pd', 'pv', 'tok')
  return { rep = v[1], st = v[2], acc = v[3], pq = v[4], pd = v[5], pv = v[6], tok = v[7] }
end

-- Where what the portal is to be told waits.
local function portal_key(rep) return T .. (STEPS[rep] and 'steps' or 'dirty') end

-- When the portal has to be told of the state a message has now; no status within PORTAL_QUIET_MS of acceptance.
local function portal_touch(mid)
  local m = portal_fields(mid)
  if STEPS[m.rep] then
    -- Its place in the queue, or its rest, stays what it is.
    if portal_want(m) then redis.call('ZADD', T .. 'steps', 'NX', now(), mid) end
    return
  end
  if m.rep ~= 'portal' then return end
  local key = T .. 'dirty'
  if FINAL[m.st] or m.st == 'sent' then
    if portal_want(m) then redis.call('ZADD', key, math.max(now(), num(m.acc) + PORTAL_QUIET_MS), mid)
    else redis.call('ZREM', key, mid) end
  elseif m.pd ~= 'queued' then
    redis.call('ZADD', key, num(m.acc) + PORTAL_QUEUED_AFTER_MS, mid)
  end
end

-- A stage was reached after `ms`; `label` is what its figures are told apart by.
local function count_age(stage, label, ms)
  local name, class = stage .. '|' .. label .. '|', 'more'
  ms = math.max(0, ms)
  for _, bound in ipairs(AGE_BOUNDS_MS) do
    if ms <= bound then class = bound break end
  end
  redis.call('HINCRBY', T .. 'ages', name .. class, 1)
  redis.call('HINCRBY', T .. 'ages', name .. 'sum', ms)
end

-- Moves a message to a state; keeps the sets, the ledger, the text's life and the portal's wish in step.
local function set_state(mid, new, reason)
  local key = T .. 'm:' .. mid
  local v = redis.call('HMGET', key, 'st', 'th', 'na', 'to')
  local old, th = v[1], v[2]
  if old == new then
    if reason then redis.call('HSET', key, 'rs', reason) end
    if FINAL[new] then roll_up(mid) end
    return
  end
  redis.call('HSET', key, 'st', new, 'rs', reason or '')
  redis.call('HINCRBY', key, 'pv', 1)
  if old and FINAL[old] then redis.call('HINCRBY', T .. 'fin', old, -1)
  elseif old then redis.call('SREM', T .. 's:' .. old, mid) end
  if FINAL[new] then
    redis.call('HINCRBY', T .. 'fin', new, 1)
    local k = num(v[3])
    if new == 'delivered' then
      -- An earlier leg may be the one that arrived.
      for j = 1, k do
        if redis.call('HGET', key, 'a' .. j .. ':st') == 'delivered' then k = j break end
      end
    end
    local found = redis.call('HMGET', key, 'a' .. k .. ':by', 'a' .. k .. ':ch', 'acc')
    local channel = found[1] or found[2] or 'none'
    redis.call('HINCRBY', T .. 'done', channel .. '|' .. new, 1)
    redis.call('HSET', key, 'ft', now())
    if new == 'delivered' then count_age('delivered', channel, now() - num(found[3]))
    else redis.call('HINCRBY', T .. 'ends', new .. '|' .. (reason or ''), 1) end
    redis.call('ZREM', T .. 'exp', mid)
    if not (old and FINAL[old]) and th then drop_text(th) end
    redis.call('PEXPIRE', key, RECORD_KEPT_MS)
    redis.call('PEXPIRE', T .. 'h:' .. mid, RECORD_KEPT_MS)
    if v[4] and v[4] ~= '' then redis.call('PEXPIRE', T .. 'to:' .. v[4], RECORD_KEPT_MS) end
    roll_up(mid)
  else
    redis.call('SADD', T .. 's:' .. new, mid)
  end
  portal_touch(mid)
end

-- A message's state follows from its attempts' (core/delivery.py derive); it never steps back but out of a batch
-- that did not leave us, which is `back` below.
local function derive(mid)
  local key = T .. 'm:' .. mid
  local v = redis.call('HMGET', key, 'na', 'nx', 'st')
  local count, current = num(v[1]), v[3]
  local open, unknown, last, reason = nil, false, nil, nil
  for k = 1, count do
    local a = redis.call('HMGET', key, 'a' .. k .. ':st', 'a' .. k .. ':rk', 'a' .. k .. ':rs')
    local st, rank = a[1], num(a[2])
    if st == 'delivered' then return set_state(mid, 'delivered') end
    if rank < FINAL_RANK then
      local as = (st == 'planned' and 'queued') or (st == 'forbidden' and 'sent') or st
      if not open or ORDER[as] > ORDER[open] then open = as end
    end
    if st == 'unknown' then unknown = true end
    last, reason = st, a[3]
  end
  if FINAL[current] then
    -- A verdict stands until a delivery, or another final verdict of the same attempts, replaces it.
    if open or v[2] == '1' then return end
  end
  if open or v[2] == '1' then
    local st = open or 'sent'
    if ORDER[current] and ORDER[current] > ORDER[st] then st = current end
    return set_state(mid, st)
  end
  if unknown then return set_state(mid, 'outcome_unknown', 'OutcomeUnknown') end
  return set_state(mid, last, reason)
end

local RANKS = { planned = 0, queued = 1, sending = 2, sent = 3, forbidden = 4, unknown = 5, undelivered = 6, failed = 6, delivered = 9 }

local function set_attempt(mid, k, st, fields)
  local key, p = T .. 'm:' .. mid, 'a' .. k .. ':'
  local args = { p .. 'st', st, p .. 'rk', RANKS[st] }
  if RANKS[st] >= FINAL_RANK then args[#args + 1] = p .. 'fin'; args[#args + 1] = now() end
  for name, value in pairs(fields or {}) do
    args[#args + 1] = p .. name
    args[#args + 1] = value
  end
  redis.call('HSET', key, unpack(args))
  if RANKS[st] >= FINAL_RANK then redis.call('ZREM', T .. 'poll', mid .. '|' .. k) end
end

-- The next leg of a message starts: an attempt is planned and put where the outbox to the sender finds it.
local function plan_next(mid, why)
  local key = T .. 'm:' .. mid
  local v = redis.call('HMGET', key, 'na', 'legs', 'nx')
  local k = num(v[1]) + 1
  local legs = list(v[2])
  redis.call('ZREM', T .. 'casc', mid)
  if v[3] ~= '1' or not legs[k] then return nil end
  redis.call('HSET', key, 'na', k, 'nx', legs[k + 1] and '1' or '0')
  set_attempt(mid, k, 'planned', { ch = legs[k].channel })
  redis.call('HSET', T .. 'plans', mid .. '|' .. k, why)
  event(mid, 'next_leg', { attempt = k, channel = legs[k].channel, why = why })
  return k
end

-- No further leg: the cascade has what it wanted.
local function stop_cascade(mid)
  redis.call('HSET', T .. 'm:' .. mid, 'nx', '0')
  redis.call('ZREM', T .. 'casc', mid)
end

local function linger_of(gi) return num(gi.linger) end

local function group_due(gid, gi)
  local key = T .. 'g:' .. gid
  local size = redis.call('ZCARD', key)
  if size == 0 then
    redis.call('DEL', key, T .. 'gi:' .. gid)
    redis.call('ZREM', T .. 'due:' .. gi.lane, gid)
    return
  end
  local oldest = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  local due = num(oldest[2]) + linger_of(gi)
  if size >= num(gi.max) then due = math.min(due, now()) end
  redis.call('ZADD', T .. 'due:' .. gi.lane, due, gid)
end

-- Puts a reference into its group; `entered` is when it first did (its linger counts from there).
local function enter_group(mid, k, gid, gi_json, entered)
  redis.call('SET', T .. 'gi:' .. gid, gi_json)
  redis.call('ZADD', T .. 'g:' .. gid, entered, mid .. '|' .. k)
  group_due(gid, cjson.decode(gi_json))
end

-- An attempt goes back: nothing of it left us. `delay_ms` keeps it out of its group for a while.
local function back(mid, k, delay_ms, why)
  local key, p = T .. 'm:' .. mid, 'a' .. k .. ':'
  local v = redis.call('HMGET', key, p .. 'gid', p .. 'gi', 'exp', p .. 'in', 'st')
  set_attempt(mid, k, 'queued', { cid = '' })
  event(mid, 'back', { attempt = k, why = why })
  if k == 1 then
    redis.call('ZADD', T .. 'exp', num(v[3]), mid)
    if v[5] == 'sending' then set_state(mid, 'queued') end
  end
  if delay_ms > 0 then redis.call('ZADD', T .. 'later', now() + delay_ms, mid .. '|' .. k)
  else enter_group(mid, k, v[1], v[2], num(v[4])) end
end

-- The rest that waited for a verdict goes out by itself.
local function unpark(cid)
  if not cid or cid == '' then return end
  redis.call('SREM', T .. 'parked', cid)
  local lane = redis.call('HGET', T .. 'b:' .. cid, 'lane')
  if not lane then return end
  redis.call('HSET', T .. 'b:' .. cid, 'st', 'ready')
  redis.call('RPUSH', T .. 'ready:' .. lane, cid)
end

-- A claimed batch keeps only `left`; without any it ends, and whoever waited for its verdict goes on.
local function shrink(cid, left)
  local key = T .. 'b:' .. cid
  if #left > 0 then
    redis.call('HSET', key, 'members', cjson.encode(left))
    return
  end
  unpark(redis.call('HGET', key, 'verdict'))
  redis.call('DEL', key)
  redis.call('ZREM', T .. 'claims', cid)
end

-- A message that was not handed over in time.
local function expire(mid)
  redis.call('HSET', T .. 'm:' .. mid, 'nx', '0')
  set_attempt(mid, 1, 'failed', { rs = 'Expired', cid = '' })
  event(mid, 'expired', {})
  set_state(mid, 'expired', 'Expired')
end
