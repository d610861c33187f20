-- What the deployment's registry holds, at one moment. ARGV[1]: providers | states | installations | versions.
local function map(key)
  local flat, result, any = redis.call('HGETALL', T .. key), {}, false
  for i = 1, #flat, 2 do
    result[flat[i]] = flat[i + 1]
    any = true
  end
  return any and result or nil
end
local versions = {
  version = num(redis.call('GET', T .. 'registry-version')),
  installations_version = num(redis.call('GET', T .. 'installations-version')),
  now_ms = now(),
}
if ARGV[1] == 'providers' then
  versions.providers = map('providers')
  versions.removed = map('removed')
  local let_go = redis.call('SMEMBERS', T .. 'let-go')
  if #let_go > 0 then versions.let_go = let_go end
elseif ARGV[1] == 'states' then
  versions.states = map('states')
elseif ARGV[1] == 'installations' then
  versions.bindings = map('bindings')
  local keys = redis.call('SMEMBERS', T .. 'installations')
  if #keys > 0 then versions.installations = keys end
end
return cjson.encode(versions)
