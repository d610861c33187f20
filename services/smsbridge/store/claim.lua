-- provider tag
-- Claims one batch of a lane: a composition that a split made, else up to `max` members of the group that is due
-- first, never one phone twice. ARGV: op, lane, owner, lease ms, client id to use, most numbers, ms that claiming waits
-- after a change of primary (0: no replicas).
-- Answers {batch = {...}} or {next_ms = how long until something may be due, -1 where nothing waits, new_primary}.
local op, lane, owner, lease, cid, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6])
local settling, seen = new_primary(tonumber(ARGV[7]))
if settling > 0 then return cjson.encode({ next_ms = settling, new_primary = seen }) end
assert(op ~= '' and owner ~= '' and cid ~= '' and lease > 0 and most > 0, 'claim: an argument is missing')
local at = now()

local function enter_later()
  local due = redis.call('ZRANGEBYSCORE', T .. 'later', '-inf', at, 'LIMIT', 0, 200)
  for _, ref in ipairs(due) do
    redis.call('ZREM', T .. 'later', ref)
    local mid, k = split_ref(ref)
    local v = redis.call('HMGET', T .. 'm:' .. mid, 'a' .. k .. ':gid', 'a' .. k .. ':gi', 'a' .. k .. ':in')
    if v[1] then enter_group(mid, k, v[1], v[2], num(v[3])) end
  end
end

local function texts_of(members)
  local texts = {}
  for _, member in ipairs(members) do
    if not texts[member.th] then texts[member.th] = redis.call('HGET', T .. 't:' .. member.th, 'x') or '' end
  end
  return texts
end

local function answer(id, gi, members, extra)
  local b = extra or {}
  b.client_id, b.group, b.members, b.texts = id, gi, members, texts_of(members)
  return { batch = b }
end

-- A composition of a split: its members stay what they are, its id is its own already.
local function ready()
  while true do
    local id = redis.call('LPOP', T .. 'ready:' .. lane)
    if not id then return nil end
    local key = T .. 'b:' .. id
    local v = redis.call('HMGET', key, 'st', 'gi', 'members')
    if v[1] == 'ready' then
      local left = {}
      for _, member in ipairs(list(v[3])) do
        local mid, k = split_ref(member.ref)
        if k == 1 and num(redis.call('HGET', T .. 'm:' .. mid, 'exp')) <= at then expire(mid) else left[#left + 1] = member end
      end
      redis.call('HSET', key, 'st', 'claimed', 'owner', owner, 'lease', at + lease)
      redis.call('ZADD', T .. 'claims', at + lease, id)
      shrink(id, left)
      if #left > 0 then return answer(id, cjson.decode(v[2]), left, { split = true }) end
    end
  end
end

-- A reference that is not to be sent any more leaves the group without a trace in the batch.
local function usable(mid, k, v)
  if not v[1] or v[3] ~= 'queued' then return false end
  if k == 1 and num(v[2]) <= at then
    expire(mid)
    return false
  end
  return true
end

-- For how long a message has waited for a look-up; -1 where that was decided.
local function looked(lk)
  if not lk then return nil end
  return num(lk) < 0 and -1 or at - num(lk)
end

local function choose(gid, gi)
  local key = T .. 'g:' .. gid
  local limit = math.min(most, num(gi.max))
  local members, seen, offset = {}, {}, 0
  while #members < limit do
    local refs = redis.call('ZRANGE', key, offset, offset + limit * 2 - 1)
    if #refs == 0 then break end
    local gone = 0
    for _, ref in ipairs(refs) do
      if #members >= limit then break end
      local mid, k = split_ref(ref)
      local v = redis.call('HMGET', T .. 'm:' .. mid, 'to', 'exp', 'a' .. k .. ':st', 'th', 'na', 'lk')
      if not usable(mid, k, v) then
        redis.call('ZREM', key, ref)
        gone = gone + 1
      elseif not seen[v[1]] then
        seen[v[1]] = true
        members[#members + 1] = { ref = ref, to = v[1], th = v[4], lw = looked(v[6]) }
        redis.call('ZREM', key, ref)
        gone = gone + 1
      end
    end
    offset = offset + #refs - gone
  end
  return members
end

-- A repeat of it comes at once or is worth nothing; and it is the largest answer there is.
return once(op, function()
  enter_later()
  local found = ready()
  if found then return found end
  for _ = 1, 20 do
    local first = redis.call('ZRANGE', T .. 'due:' .. lane, 0, 0, 'WITHSCORES')
    local pending = redis.call('ZRANGE', T .. 'later', 0, 0, 'WITHSCORES')
    local wait = pending[2] and math.max(0, num(pending[2]) - at) or -1
    if not first[1] then return { next_ms = wait } end
    if num(first[2]) > at then
      local until_due = num(first[2]) - at
      return { next_ms = wait >= 0 and math.min(wait, until_due) or until_due }
    end
    local gid = first[1]
    local gi = cjson.decode(redis.call('GET', T .. 'gi:' .. gid))
    local members = choose(gid, gi)
    group_due(gid, gi)
    if #members > 0 then
      for _, member in ipairs(members) do
        local mid, k = split_ref(member.ref)
        set_attempt(mid, k, 'sending', { cid = cid })
        redis.call('ZREM', T .. 'exp', mid)
        derive(mid)
      end
      redis.call('HSET', T .. 'b:' .. cid, 'st', 'claimed', 'owner', owner, 'lease', at + lease, 'lane', lane,
        'gi', cjson.encode(gi), 'members', cjson.encode(members), 'made', at)
      redis.call('ZADD', T .. 'claims', at + lease, cid)
      return answer(cid, gi, members)
    end
  end
  return { next_ms = 0 }
end, lease)
