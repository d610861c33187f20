-- provider tag, verifications
-- It stays its taker's own. ARGV: id, token, lease ms (0: somebody else may take it at once).
-- Answers {ok}; not ok: it is not one's own any more, or is not to be worked at.
local id, token, lease = ARGV[1], ARGV[2], tonumber(ARGV[3])
assert(id ~= '' and lease >= 0, 'verification_renew: an argument is missing')
if not owned(id, token) or not redis.call('ZSCORE', T .. 'vruns', id) then return cjson.encode({ ok = false }) end
redis.call('ZADD', T .. 'vruns', whole(now() + lease), id)
return cjson.encode({ ok = true })
