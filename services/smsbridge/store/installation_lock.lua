-- Takes or gives back the lock of an installation. ARGV: take | release, the holder's token, milliseconds it is held.
local what, token, ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
if not token or token == '' then return redis.error_reply('ERR installation_lock wants a token') end
local key = T .. 'lock'
local holder = redis.call('GET', key)
if what == 'take' then
  if holder and holder ~= token then return cjson.encode({ held = false }) end
  redis.call('SET', key, token, 'PX', ms)
  return cjson.encode({ held = true })
end
if holder == token then redis.call('DEL', key) end
return cjson.encode({ held = false })
