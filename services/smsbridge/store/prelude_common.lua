-- What all scripts share. KEYS[1] is the tag with its colon; every key of a script carries it.
local T = KEYS[1]

local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function num(v) return tonumber(v or '0') or 0 end

local function list(v)
  if v == nil or v == false or v == '' then return {} end
  return cjson.decode(v)
end

-- A repeat of an operation gets its first answer.
local function once(op, body, kept)
  local key = T .. 'op:' .. op
  local hit = redis.call('GET', key)
  if hit then return hit end
  local answer = cjson.encode(body())
  redis.call('SET', key, answer, 'PX', math.min(kept or OP_KEPT_MS, OP_KEPT_MS))
  return answer
end
