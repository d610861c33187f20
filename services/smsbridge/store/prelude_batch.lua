-- What the scripts that end a batch share (outcome, settle): the moves of its members.

-- SMSC accepted an attempt. `a`: sid, own, cnt, cost, est, and by the provider's settings sp (price of one segment by
-- SMS) and up (price of one part by this channel, where nobody told the cost). `b`: the batch's fields.
local function accepted(ref, b, a)
  local mid, k = split_ref(ref)
  local at = now()
  local m = redis.call('HMGET', T .. 'm:' .. mid, 'nx', 'legs', 'a' .. k .. ':rk', 'to', 'a' .. k .. ':st', 'a' .. k .. ':cid',
    'acc', 'lane', 'seg')
  if not m[4] then return end
  if m[6] ~= b.cid then return end
  if num(m[3]) >= RANKS.sent then return end
  local leg = list(m[2])[k] or {}
  local life = 86400
  if not leg.native and num(leg.wait_seconds) > 0 then life = num(leg.wait_seconds) end
  if leg.native then life = 86400 + num(leg.wait_seconds) end
  local close = at + math.min(life * 1000 + CLOSE_EXTRA_MS, CLOSE_MOST_MS)
  local cost, est = a.cost or '', a.est
  if cost == '' and (a.up or '') ~= '' then
    cost, est = money_text(money_units(a.up) * (b.ch == 'sms' and math.max(1, num(m[9])) or 1)), true
  end
  if (a.sp or '') ~= '' then redis.call('HSET', T .. 'm:' .. mid, 'sp', a.sp) end
  set_attempt(mid, k, 'sent', { sid = a.sid, own = a.own and '1' or '0', cnt = a.cnt or '', cost = cost,
    est = est and '1' or '0', prof = b.prof, acct = b.acct, at = at, close = close,
    nat = leg.native and tostring(leg.wait_seconds) or '' })
  if k == 1 then count_age('smsc', m[8], at - num(m[7])) end
  redis.call('ZADD', T .. 'poll', at + FIRST_POLL_MS, ref)
  if m[1] == '1' and num(leg.wait_seconds) > 0 then redis.call('ZADD', T .. 'casc', at + leg.wait_seconds * 1000, mid) end
  redis.call('HSET', T .. 'subs', ref, cjson.encode({ message_id = mid, attempt = k, account_key = b.acct,
    client_id = b.cid, smsc_id = a.sid, own_id = a.own or false, msisdn = m[4], profile = b.prof, channel = b.ch,
    native_cascade = leg.native or false, accepted_at_ms = at, validity_seconds = life }))
  event(mid, a.adopted and 'adopted' or 'sent', { attempt = k, channel = b.ch, client_id = b.cid, smsc_id = a.sid,
    segments = a.cnt, cost = cost ~= '' and cost or nil, estimated = est or nil })
  derive(mid)
  roll_up_again(mid)
end

-- SMSC refused an attempt for good. A further leg is tried where the message has one.
local function refused(ref, b, reason, text)
  local mid, k = split_ref(ref)
  local m = redis.call('HMGET', T .. 'm:' .. mid, 'a' .. k .. ':cid', 'a' .. k .. ':rk', 'nx')
  if m[1] ~= b.cid or num(m[2]) >= RANKS.sent then return end
  set_attempt(mid, k, 'failed', { rs = reason, prof = b.prof or '', acct = b.acct or '' })
  event(mid, 'refused', { attempt = k, channel = b.ch or nil, reason = reason, smsc = text })
  if m[3] == '1' then plan_next(mid, reason) end
  derive(mid)
end

local function batch(cid)
  local v = redis.call('HMGET', T .. 'b:' .. cid, 'st', 'owner', 'members', 'acct', 'prof', 'ch', 'gi', 'lane',
    'deadline', 'posted', 'posts', 'verdict', 'made', 'base')
  return { cid = cid, st = v[1], owner = v[2], members = list(v[3]), acct = v[4], prof = v[5], ch = v[6], gi = v[7],
    lane = v[8], deadline = num(v[9]), posted = num(v[10]), posts = num(v[11]), verdict = v[12], made = v[13], base = v[14] }
end

local function forget(cid)
  redis.call('DEL', T .. 'b:' .. cid)
  redis.call('ZREM', T .. 'intents', cid)
  redis.call('ZREM', T .. 'claims', cid)
  redis.call('SREM', T .. 'uncertain', cid)
end

-- A new composition out of members of `b`, under its own client id.
local function compose(b, cid, members, st, verdict)
  redis.call('HSET', T .. 'b:' .. cid, 'st', st, 'owner', '', 'lease', 0, 'lane', b.lane, 'gi', b.gi,
    'members', cjson.encode(members), 'made', now(), 'verdict', verdict or '')
  for _, member in ipairs(members) do
    local mid, k = split_ref(member.ref)
    redis.call('HSET', T .. 'm:' .. mid, 'a' .. k .. ':cid', cid)
    event(mid, 'split', { attempt = k, client_id = cid })
  end
  if st == 'ready' then redis.call('RPUSH', T .. 'ready:' .. b.lane, cid) end
  if st == 'parked' then redis.call('SADD', T .. 'parked', cid) end
end

-- Two halves of `members`, under the two client ids.
local function halve(b, ids)
  local middle = math.ceil(#b.members / 2)
  local one, two = {}, {}
  for i, member in ipairs(b.members) do
    if i <= middle then one[#one + 1] = member else two[#two + 1] = member end
  end
  compose(b, ids[1], one, 'ready')
  if #two > 0 then compose(b, ids[2], two, 'ready') end
  forget(b.cid)
end

-- What was learnt from the one that was tried alone goes for the parked rest: the same refusal (`code`) fails it,
-- anything else sends it through halves, under the client ids `ids`.
local function verdict_of(b, code, reason, text, ids)
  if not b.verdict or b.verdict == '' then return end
  local rest = batch(b.verdict)
  if rest.st ~= 'parked' then return end
  redis.call('SREM', T .. 'parked', rest.cid)
  rest.prof, rest.acct, rest.ch = b.prof, b.acct, b.ch
  if code and tostring(code) == redis.call('HGET', T .. 'b:' .. rest.cid, 'code') then
    for _, member in ipairs(rest.members) do refused(member.ref, rest, reason, text) end
    forget(rest.cid)
  elseif #rest.members > 1 and ids then
    halve(rest, ids)
  else
    unpark(rest.cid)
  end
end
