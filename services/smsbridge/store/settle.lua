#!lua flags=allow-oom
-- provider tag, batch
-- Writes what asking SMSC about an uncertain batch brought. ARGV: op, client id, owner, JSON:
--   {kind = "found", members = [{ref, sid, own}], refused = [{ref, reason, text}], ids}   the rest stays uncertain;
--     all of several refused: the request was, so its halves are tried, but where `final`
--   {kind = "resend", ids}              SMSC took none of it, and would take it later: a new composition
--   {kind = "not_found", ask_in_ms}     every member is unknown there: counted; a member found meanwhile starts it anew
--   {kind = "again", ask_in_ms, why}    no answer, or none that counts
-- Answers {left = members still uncertain, not_found = how often in a row} or {stale = true}. What nobody could tell
-- CLOSE_MOST_MS after its first POST is closed, as an attempt without a receipt is.
local op, cid, owner, o = ARGV[1], ARGV[2], ARGV[3], cjson.decode(ARGV[4])
assert(op ~= '' and cid ~= '' and type(o.kind) == 'string', 'settle: an argument is missing')

local function give_up(ref, b)
  local mid, k = split_ref(ref)
  local m = redis.call('HMGET', T .. 'm:' .. mid, 'a' .. k .. ':cid', 'a' .. k .. ':rk')
  if m[1] ~= b.cid or num(m[2]) >= RANKS.sent then return end
  stop_cascade(mid)
  set_attempt(mid, k, 'unknown', { rs = 'OutcomeUnknown', prof = b.prof, acct = b.acct })
  event(mid, 'closed', { attempt = k })
  derive(mid)
end

return once(op, function()
  local b = batch(cid)
  local key = T .. 'b:' .. cid
  if not b.st or b.st ~= 'uncertain' or b.owner ~= owner then return { stale = true } end
  if o.kind == 'found' then
    local found = {}
    for _, a in ipairs(o.members or {}) do
      a.adopted = true
      accepted(a.ref, b, a)
      found[a.ref] = true
    end
    local refusals = o.refused or {}
    if #refusals == #b.members and #b.members > 1 and not o.final then
      halve(b, o.ids)
      return { left = 0, halved = true }
    end
    for _, r in ipairs(refusals) do
      refused(r.ref, b, r.reason, r.text)
      found[r.ref] = true
    end
    local left = {}
    for _, member in ipairs(b.members) do if not found[member.ref] then left[#left + 1] = member end end
    if #left == 0 then
      verdict_of(b, nil, nil, nil, o.ids)
      forget(cid)
    else
      redis.call('HSET', key, 'members', cjson.encode(left), 'owner', '', 'nf', 0, 'partial', '1')
      redis.call('ZADD', T .. 'intents', now() + num(o.ask_in_ms), cid)
    end
    return { left = #left, not_found = 0 }
  end
  if o.kind == 'resend' then
    compose(b, o.ids[1], b.members, 'ready', b.verdict)
    forget(cid)
    return { left = 0 }
  end
  local first = num(redis.call('HGET', key, 'first'))
  if first > 0 and now() - first >= CLOSE_MOST_MS then
    for _, member in ipairs(b.members) do give_up(member.ref, b) end
    unpark(b.verdict)
    forget(cid)
    return { left = 0, closed = true }
  end
  local count = num(redis.call('HGET', key, 'nf'))
  if o.kind == 'not_found' then count = redis.call('HINCRBY', key, 'nf', 1) end
  redis.call('HSET', key, 'owner', '')
  redis.call('ZADD', T .. 'intents', now() + num(o.ask_in_ms), cid)
  if o.why then
    for _, member in ipairs(b.members) do
      local mid, k = split_ref(member.ref)
      if redis.call('HGET', T .. 'm:' .. mid, 'note') ~= o.why then
        redis.call('HSET', T .. 'm:' .. mid, 'note', o.why)
        event(mid, 'held_uncertain', { attempt = k, why = o.why })
      end
    end
  end
  return { left = #b.members, not_found = count }
end)
