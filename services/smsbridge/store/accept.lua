-- provider tag
-- Takes messages: each is kept, deduped on (provider, message_id), and put into its group, held, or failed at once.
-- The dedupe mark is the operation id: a repeat answers what became of the first.
-- ARGV[1] JSON list of messages (store/outbox.py NewMessage); answers a list of "accepted", "held", "failed", "duplicate".
-- What many messages have in common is written once at the end: this script bounds how fast messages are accepted.
local messages = cjson.decode(ARGV[1])
for i, m in ipairs(messages) do
  assert(type(m.mid) == 'string' and m.mid ~= '' and type(m.acc) == 'number', 'message ' .. i .. ' lacks mid or acc')
end

local answers, at = {}, now()
local kept, duplicates = 0, 0
local texts, groups = {}, {}
local queued, expiry, dirty, at_once = {}, {}, {}, {}

-- The messages of a letter begin their stories alike.
local beginnings = {}
local function event_of(m)
  local like = m.org .. '|' .. m.route .. '|' .. m.rule .. '|' .. m.seg
  if not beginnings[like] then
    beginnings[like] =
      cjson.encode({ at = at, what = 'accepted', origin = m.org, route = m.route, rule = m.rule, segments = m.seg })
  end
  return beginnings[like]
end

local function keep(m, st)
  redis.call('HSET', T .. 'm:' .. m.mid, 'to', m.to, 'th', m.th, 'org', m.org, 'lane', m.lane, 'rep', m.rep,
    'tok', m.tok, 'route', m.route, 'legs', m.legs, 'rule', m.rule, 'doc', m.doc, 'acc', m.acc,
    'exp', m.exp, 'seg', m.seg, 'na', 1, 'nx', m.nx, 'st', st, 'rs', '', 'pv', 1,
    'a1:ch', m.ch, 'a1:st', 'queued', 'a1:rk', 1, 'a1:gid', m.gid, 'a1:gi', m.gi, 'a1:in', at)
  redis.call('RPUSH', T .. 'h:' .. m.mid, event_of(m))
  if m.to ~= '' then
    local key = T .. 'to:' .. m.to
    local length = redis.call('LPUSH', key, m.mid)
    if length > 1 then redis.call('PERSIST', key) end  -- it expires when its last message has been final for long
    if length > PHONE_MESSAGES_KEPT then redis.call('LTRIM', key, 0, PHONE_MESSAGES_KEPT - 1) end
  end
  texts[m.th] = texts[m.th] or { text = m.text, count = 0 }
  texts[m.th].count = texts[m.th].count + 1
  kept = kept + 1
end

local function fail(m)
  keep(m, 'queued')
  redis.call('SADD', T .. 's:queued', m.mid)
  redis.call('HSET', T .. 'm:' .. m.mid, 'nx', '0')
  return function()
    set_attempt(m.mid, 1, 'failed', { rs = m.fail })
    event(m.mid, 'failed', { reason = m.fail })
    set_state(m.mid, 'failed', m.fail)
  end
end

local function hold(m)
  keep(m, 'held')
  redis.call('SADD', T .. 's:held', m.mid)
  redis.call('HSET', T .. 'm:' .. m.mid, 'digest', m.hold)
  redis.call('ZADD', T .. 'tokens', at + TOKEN_HOLD_MS, m.mid)
  event(m.mid, 'held', { why = 'application_token' })
end

local function queue(m)
  keep(m, 'queued')
  queued[#queued + 1] = m.mid
  expiry[#expiry + 1] = m.exp
  expiry[#expiry + 1] = m.mid
  local group = groups[m.gid]
  if not group then
    group = { gi = m.gi, refs = {} }
    groups[m.gid] = group
  end
  group.refs[#group.refs + 1] = at
  group.refs[#group.refs + 1] = m.mid .. '|1'
end

local later = {}
for i, m in ipairs(messages) do
  if not redis.call('SET', T .. 'd:' .. m.mid, '1', 'NX', 'PX', DEDUPE_KEPT_MS) then
    answers[i] = 'duplicate'
    duplicates = duplicates + 1
  elseif m.fail ~= '' then
    later[#later + 1] = fail(m)
    answers[i] = 'failed'
  else
    if m.hold ~= '' then hold(m) else queue(m) end
    answers[i] = m.hold ~= '' and 'held' or 'accepted'
  end
  if answers[i] ~= 'duplicate' and answers[i] ~= 'failed' then
    if m.rep == 'portal' then
      dirty[#dirty + 1] = m.acc + PORTAL_QUEUED_AFTER_MS
      dirty[#dirty + 1] = m.mid
    elseif m.rep == 'robot_at_once' and m.hold == '' and m.tok ~= '' then
      at_once[#at_once + 1] = at
      at_once[#at_once + 1] = m.mid
    end
  end
end

if kept > 0 then redis.call('HINCRBY', T .. 'n', 'accepted', kept) end
if duplicates > 0 then redis.call('HINCRBY', T .. 'n', 'duplicates', duplicates) end
for th, used in pairs(texts) do keep_text(th, used.text, used.count) end
if #queued > 0 then
  redis.call('SADD', T .. 's:queued', unpack(queued))
  redis.call('ZADD', T .. 'exp', unpack(expiry))
end
if #dirty > 0 then redis.call('ZADD', T .. 'dirty', unpack(dirty)) end
if #at_once > 0 then redis.call('ZADD', T .. 'steps', unpack(at_once)) end
for gid, group in pairs(groups) do
  redis.call('SET', T .. 'gi:' .. gid, group.gi)
  redis.call('ZADD', T .. 'g:' .. gid, unpack(group.refs))
  group_due(gid, cjson.decode(group.gi))
end
for _, finish in ipairs(later) do finish() end
return cjson.encode(answers)
