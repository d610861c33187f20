-- account tag, numbers
-- A provider's day, or a verification's quote. ARGV: provider's uid, the verification or nothing.
-- Answers {res, spent, est, n = how many a verification bought}.
local v = redis.call('HMGET', purse_key(ARGV[1], today(), ARGV[2]), 'res', 'spent', 'est', 'n')
return cjson.encode({ res = num(v[1]), spent = num(v[2]), est = num(v[3]), n = num(v[4]) })
