#!lua flags=allow-oom
-- provider tag, delivery
-- Takes out of the outboxes what the others have. ARGV[1] JSON list of {ref, ok}: attempts that the sender took, or
-- refused because the provider is removed; ARGV[2] JSON list of {phone, value} that hlr took. A repeat changes nothing.
local plans, learned = cjson.decode(ARGV[1]), cjson.decode(ARGV[2])
for _, plan in ipairs(plans) do
  local mid, k = split_ref(plan.ref)
  if redis.call('HDEL', T .. 'plans', plan.ref) == 1 and not plan.ok then
    if redis.call('HGET', T .. 'm:' .. mid, 'a' .. k .. ':st') == 'planned' then
      set_attempt(mid, k, 'failed', { rs = 'ProviderRemoved' })
      event(mid, 'failed', { attempt = k, reason = 'ProviderRemoved' })
      derive(mid)
      promote(mid)
    end
  end
end
for _, pair in ipairs(learned) do
  if redis.call('HGET', T .. 'learn', pair[1]) == pair[2] then redis.call('HDEL', T .. 'learn', pair[1]) end
end
return '1'
