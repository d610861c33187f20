#!lua flags=allow-oom
-- provider tag, batch
-- Writes what SMSC answered and acknowledges the batch. ARGV: op, client id, owner, JSON outcome:
--   {kind = "accepted", members = [{ref, sid, own, cnt, cost, est}], refused = [{ref, reason, text}], missing = [refs], ids}
--   {kind = "fail", reason, text, code, ids} every member, and the parked rest where it waits for this code again
--   {kind = "alone", code, ids}              try one alone, park the rest
--   {kind = "halve", ids}
--   {kind = "back", delay_ms, why}           nothing of it left us, or SMSC took none of it
--   {kind = "uncertain", why, ask_in_ms}     nobody knows: asked from the deadline on
-- Answers {done = kind}. Under a stale owner only "accepted" counts; it never puts anything back: {stale = true}.
local op, cid, owner, o = ARGV[1], ARGV[2], ARGV[3], cjson.decode(ARGV[4])
assert(op ~= '' and cid ~= '' and type(o.kind) == 'string', 'outcome: an argument is missing')

local function take_accepted(b)
  for _, a in ipairs(o.members or {}) do accepted(a.ref, b, a) end
  for _, r in ipairs(o.refused or {}) do refused(r.ref, b, r.reason, r.text) end
end

local function absent_of(b)
  local absent, left = {}, {}
  for _, ref in ipairs(o.missing) do absent[ref] = true end
  for _, member in ipairs(b.members) do if absent[member.ref] then left[#left + 1] = member end end
  return left
end

return once(op, function()
  local b = batch(cid)
  if not b.st then return { stale = true, gone = true } end
  local mine = b.owner == owner and (b.st == 'intent' or b.st == 'claimed')
  if not mine then
    if o.kind == 'accepted' and b.acct then
      take_accepted(b)
      if #(o.missing or {}) == 0 then
        verdict_of(b, nil, nil, nil, o.ids)
        forget(cid)
      elseif b.st == 'uncertain' or b.st == 'repeating' then
        -- What is settled must not be sent again with the rest. A POST under way keeps the whole.
        redis.call('HSET', T .. 'b:' .. cid, 'st', 'uncertain', 'members', cjson.encode(absent_of(b)), 'partial', '1')
      end
    end
    return { stale = true }
  end
  -- An earlier POST of this composition is unsettled: whatever became of this one, its members may be on their way.
  if o.kind == 'back' and b.posts > 1 then
    o = { kind = 'uncertain', why = o.why, ask_in_ms = o.ask_in_ms }
  end
  if o.kind == 'accepted' then
    take_accepted(b)
    verdict_of(b, nil, nil, nil, o.ids)
    if #(o.missing or {}) == 0 then
      forget(cid)
    else
      local left = absent_of(b)
      redis.call('HSET', T .. 'b:' .. cid, 'st', 'uncertain', 'owner', '', 'members', cjson.encode(left), 'why', 'missing', 'verdict', '', 'partial', '1')
      redis.call('ZADD', T .. 'intents', b.deadline, cid)
      redis.call('SADD', T .. 'uncertain', cid)
      for _, member in ipairs(left) do
        local mid, k = split_ref(member.ref)
        event(mid, 'uncertain', { attempt = k, why = 'missing', client_id = cid })
      end
    end
  elseif o.kind == 'fail' then
    for _, member in ipairs(b.members) do refused(member.ref, b, o.reason, o.text) end
    verdict_of(b, o.code, o.reason, o.text, o.ids)
    forget(cid)
  elseif o.kind == 'alone' then
    local rest = {}
    for i = 2, #b.members do rest[#rest + 1] = b.members[i] end
    compose(b, o.ids[1], { b.members[1] }, 'ready', o.ids[2])
    compose(b, o.ids[2], rest, 'parked')
    redis.call('HSET', T .. 'b:' .. o.ids[2], 'code', o.code)
    forget(cid)
  elseif o.kind == 'halve' then
    halve(b, o.ids)
  elseif o.kind == 'back' then
    for _, member in ipairs(b.members) do
      local mid, k = split_ref(member.ref)
      back(mid, k, o.delay_ms or 0, o.why)
    end
    unpark(b.verdict)
    forget(cid)
  elseif o.kind == 'uncertain' then
    redis.call('HSET', T .. 'b:' .. cid, 'st', 'uncertain', 'owner', '', 'why', o.why)
    redis.call('ZADD', T .. 'intents', math.max(b.deadline, now() + (o.ask_in_ms or 0)), cid)
    redis.call('SADD', T .. 'uncertain', cid)
    for _, member in ipairs(b.members) do
      local mid, k = split_ref(member.ref)
      event(mid, 'uncertain', { attempt = k, why = o.why, client_id = cid })
    end
  else
    error('outcome: unknown kind ' .. o.kind)
  end
  return { done = o.kind }
end)
