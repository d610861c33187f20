-- What the scripts about errands share. Provider tag.
--
--   er:e:ID      hash, an errand: k (kind), la (lane), body (sealed), at (since when it waits), n (how often it was taken),
--                own (who has it, empty: nobody), ag ("1": it came again while somebody had it)
--   er:due:LANE  sorted set, errands by the time they may be taken; of a taken one: by the end of its lease
--   er:all:KIND  sorted set, errands by the time since when they wait
--   er:mark:ID   what came before, for as long as a repeat is recognised

local function errand_forget(id, kind, lane)
  redis.call('DEL', T .. 'er:e:' .. id)
  redis.call('ZREM', T .. 'er:due:' .. lane, id)
  redis.call('ZREM', T .. 'er:all:' .. kind, id)
end

-- `e`: {id, k, la, body, at (0: now), mark (ms; 0: only while one waits), replace (its body takes a waiting one's place),
-- delay (ms)}. Answers `taken` or `duplicate`.
local function errand_put(e)
  local key, mark, here = T .. 'er:e:' .. e.id, T .. 'er:mark:' .. e.id, now()
  if e.mark > 0 and redis.call('EXISTS', mark) == 1 then return 'duplicate' end
  local own = redis.call('HGET', key, 'own')
  if own then
    if e.mark > 0 then return 'duplicate' end
    if e.replace then redis.call('HSET', key, 'body', e.body) end
    -- Whoever has it may have looked before this came.
    if own ~= '' then redis.call('HSET', key, 'ag', '1') end
    return (e.replace or own ~= '') and 'taken' or 'duplicate'
  end
  local since = (e.at > 0 and e.at < here) and e.at or here
  redis.call('HSET', key, 'k', e.k, 'la', e.la, 'body', e.body, 'at', string.format('%d', since), 'n', 0, 'own', '')
  redis.call('ZADD', T .. 'er:due:' .. e.la, here + e.delay, e.id)
  redis.call('ZADD', T .. 'er:all:' .. e.k, since, e.id)
  if e.mark > 0 then redis.call('SET', mark, '', 'PX', string.format('%d', e.mark)) end
  return 'taken'
end

local function errand_check(e, place)
  local fit = type(e.id) == 'string' and e.id ~= '' and type(e.k) == 'string' and type(e.la) == 'string'
  assert(fit and type(e.body) == 'string' and type(e.at) == 'number', 'errand ' .. place .. ' lacks something')
  assert(type(e.mark) == 'number' and type(e.delay) == 'number', 'errand ' .. place .. ' lacks a time')
end
