-- provider tag
-- Takes messages: each is kept, deduped on (provider, message_id), and put into its group, held, or failed at once.
-- The dedupe mark is the operation id: a repeat answers what became of the first.
-- ARGV[1] JSON list of messages (store/outbox.py NewMessage); answers a list of "accepted", "held", "failed", "duplicate".
local messages = cjson.decode(ARGV[1])
local answers = {}
local at = now()
for i, m in ipairs(messages) do
  assert(type(m.mid) == 'string' and m.mid ~= '' and type(m.acc) == 'number', 'message ' .. i .. ' lacks mid or acc')
end
for i, m in ipairs(messages) do
  local mark = T .. 'd:' .. m.mid
  if not redis.call('SET', mark, '1', 'NX', 'PX', DEDUPE_KEPT_MS) then
    answers[i] = 'duplicate'
    redis.call('HINCRBY', T .. 'n', 'duplicates', 1)
  else
    local key = T .. 'm:' .. m.mid
    redis.call('HSET', key, 'to', m.to, 'th', m.th, 'org', m.org, 'lane', m.lane, 'rep', m.rep, 'tok', m.tok,
      'route', m.route, 'legs', m.legs, 'rule', m.rule, 'doc', m.doc, 'trace', m.trace, 'acc', m.acc, 'exp', m.exp,
      'seg', m.seg, 'na', 1, 'nx', m.nx, 'pv', 0,
      'a1:ch', m.ch, 'a1:st', 'queued', 'a1:rk', 1, 'a1:gid', m.gid, 'a1:gi', m.gi, 'a1:in', at)
    redis.call('HINCRBY', T .. 'n', 'accepted', 1)
    event(m.mid, 'accepted', { origin = m.org, route = m.route, rule = m.rule, segments = m.seg })
    if m.fail ~= '' then
      redis.call('HSET', key, 'nx', '0')
      set_attempt(m.mid, 1, 'failed', { rs = m.fail })
      event(m.mid, 'failed', { reason = m.fail })
      set_state(m.mid, 'failed', m.fail)
      answers[i] = 'failed'
    else
      keep_text(m.th, m.text)
      if m.hold ~= '' then
        redis.call('HSET', key, 'digest', m.hold)
        redis.call('ZADD', T .. 'tokens', at + TOKEN_HOLD_MS, m.mid)
        event(m.mid, 'held', { why = 'application_token' })
        set_state(m.mid, 'held')
        answers[i] = 'held'
      else
        redis.call('ZADD', T .. 'exp', m.exp, m.mid)
        set_state(m.mid, 'queued')
        enter_group(m.mid, 1, m.gid, m.gi, at)
        answers[i] = 'accepted'
      end
    end
  end
end
return cjson.encode(answers)
