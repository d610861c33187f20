-- account tag, numbers
-- A provider's day. ARGV: provider's uid. Answers {res, spent, est}.
local v = redis.call('HMGET', budget_key(ARGV[1], today()), 'res', 'spent', 'est')
return cjson.encode({ res = num(v[1]), spent = num(v[2]), est = num(v[3]) })
