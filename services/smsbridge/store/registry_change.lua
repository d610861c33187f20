-- Every change of the provider registry; each raises the version that followers watch. All are safe to repeat.
-- ARGV[1]: what.
--   uid    NAME CANDIDATE          the uid of a name, CANDIDATE where it has none yet
--   put    UID NAME SEALED         a provider's settings; takes back a tombstone of the same uid
--   remove UID NAME                a tombstone; the name is free for a new provider
--   let-go UID                     a removed provider's portal is not to be asked any more
--   erase  UID                     nothing of it is left here
--   state  NAME JSON               conditions of a provider; empty JSON takes them away
--   bind   UID MEMBER              which portal a provider belongs to
--   list   KEY                     puts an installation into the list and raises its version
--   hold   OWNER MS               makes OWNER the registry's one writer for so long, where nobody else is; answers who is
--   leave  OWNER                   ends that
--   key    FINGERPRINT NEXT        what the store's secrets are sealed with: set where unset, else moved from
--                                  FINGERPRINT to NEXT where both are given
local what, a, b, c = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local function raise() return redis.call('INCR', T .. 'registry-version') end
local function followed() return redis.call('INCR', T .. 'installations-version') end

if what == 'uid' then
  redis.call('HSETNX', T .. 'names', a, b)
  return cjson.encode({ uid = redis.call('HGET', T .. 'names', a) })
elseif what == 'put' then
  if not c or c == '' then return redis.error_reply('ERR registry_change put wants a uid, a name and a record') end
  redis.call('HSET', T .. 'providers', a, c)
  -- A resource that was renamed and kept its uid leaves its old name free.
  local names = redis.call('HGETALL', T .. 'names')
  for i = 1, #names, 2 do
    if names[i + 1] == a and names[i] ~= b then redis.call('HDEL', T .. 'names', names[i]) end
  end
  redis.call('HSET', T .. 'names', b, a)
  redis.call('HDEL', T .. 'removed', a)
  redis.call('SREM', T .. 'let-go', a)
  return cjson.encode({ version = raise() })
elseif what == 'remove' then
  redis.call('HSETNX', T .. 'removed', a, now())
  if redis.call('HGET', T .. 'names', b) == a then redis.call('HDEL', T .. 'names', b) end
  return cjson.encode({ version = raise() })
elseif what == 'let-go' then
  redis.call('SADD', T .. 'let-go', a)
  return cjson.encode({})
elseif what == 'erase' then
  redis.call('SREM', T .. 'let-go', a)
  redis.call('HDEL', T .. 'providers', a)
  redis.call('HDEL', T .. 'removed', a)
  redis.call('HDEL', T .. 'bindings', a)
  return cjson.encode({ version = raise() })
elseif what == 'state' then
  if b == '' then redis.call('HDEL', T .. 'states', a) else redis.call('HSET', T .. 'states', a, b) end
  return cjson.encode({})
elseif what == 'bind' then
  redis.call('HSET', T .. 'bindings', a, b)
  return cjson.encode({ version = followed() })
elseif what == 'list' then
  redis.call('SADD', T .. 'installations', a)
  return cjson.encode({ version = followed() })
elseif what == 'hold' then
  local owner = redis.call('GET', T .. 'writer')
  if not owner or owner == a then
    redis.call('SET', T .. 'writer', a, 'PX', b)
    owner = a
  end
  return cjson.encode({ owner = owner })
elseif what == 'leave' then
  if redis.call('GET', T .. 'writer') == a then redis.call('DEL', T .. 'writer') end
  return cjson.encode({})
elseif what == 'key' then
  redis.call('SETNX', T .. 'master-key', a)
  local current = redis.call('GET', T .. 'master-key')
  if b and b ~= '' and current == a then
    redis.call('SET', T .. 'master-key', b)
    current = b
  end
  return cjson.encode({ fingerprint = current })
end
return redis.error_reply('ERR registry_change does not know ' .. tostring(what))
