-- Rollups for reports: what each message that is final adds to the day on which it was accepted.
--
-- Stands between prelude_common.lua and prelude.lua. A day is Moscow's, counted from 1970. Money is counted in
-- ten-thousandths of a rouble. Nothing is ever added twice: what a message has added stands in its record, and a
-- later word about it adds the difference.
--
--   rw:DAY   hash WAY|MEASURE. WAY is sms, viber, cascade_viber, cascade_sms (what a cascade ended in), or none (SMSC
--            never had it)
--   rc:DAY, rg:DAY  the same by carrier and by region, as far as hlr knew them
--   unplaced sorted set, final messages by time whose carrier and region were not asked for yet
--   fields of the message: ru (what it has added: DAY|WAY|MEASURE=N,...), cr and rg (its carrier and region),
--            sp (price of one segment by SMS, as the provider's settings said when it was sent)
--
-- MEASURE: n messages, x of them never with SMSC, v delivered by Viber, r read, ck and ce cost (known, estimated), cu
-- messages of which SMSC took an attempt whose cost nobody knows, cc cost of cascades, so what these would have cost by
-- SMS only, sg their segments where nobody knows that, ks and kg known cost and segments of SMS, hSECONDS delivered
-- within so long (and not within the next smaller), f:REASON not delivered.

local DAY_MS, MOSCOW_MS, MONEY_UNIT, MONEY_MOST = 86400000, 10800000, 10000, 1e10
local DELIVERED_WITHIN = { 1, 2, 3, 5, 7, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 900, 1800, 3600, 7200, 14400,
  28800, 43200, 86400, 172800, 259200, 1296000 }

-- 0 for what is no amount: it is counted with others, and must not spoil their sum.
local function money_units(text)
  local units = math.floor(num(text) * MONEY_UNIT + 0.5)
  if units ~= units or units < 0 or units > MONEY_MOST then return 0 end
  return units
end

local function money_text(units)
  if units % 100 == 0 then return string.format('%d.%02d', math.floor(units / MONEY_UNIT), units % MONEY_UNIT / 100) end
  return string.format('%d.%04d', math.floor(units / MONEY_UNIT), units % MONEY_UNIT)
end

local ATTEMPT_FIELDS = { 'st', 'ch', 'by', 'at', 'cost', 'est', 'cnt', 'fin', 'dl', 'rd' }

-- Some fields of a message, `prefix` before each name; what is not there is nil.
local function take_fields(key, names, prefix)
  local asked, found = {}, {}
  for i, name in ipairs(names) do asked[i] = prefix .. name end
  local v = redis.call('HMGET', key, unpack(asked))
  for i, name in ipairs(names) do found[name] = v[i] or nil end
  return found
end

local function bucket(ms)
  for _, seconds in ipairs(DELIVERED_WITHIN) do
    if ms <= seconds * 1000 then return seconds end
  end
  return DELIVERED_WITHIN[#DELIVERED_WITHIN]
end

-- What it cost. Answers false where SMSC never had it.
local function add_costs(f, attempts)
  local had, unknown = false, false
  for _, a in ipairs(attempts) do
    if a.at then
      had = true
      if not a.cost or a.cost == '' then
        unknown = true
      else
        local units = money_units(a.cost)
        local estimated = a.est == '1'
        f[estimated and 'ce' or 'ck'] = (f[estimated and 'ce' or 'ck'] or 0) + units
        if a.ch == 'sms' and not estimated then
          f.ks, f.kg = (f.ks or 0) + units, (f.kg or 0) + math.max(1, num(a.cnt))
        end
      end
    elseif a.st == 'unknown' then
      had, unknown = true, true
    end
  end
  if unknown then f.cu = 1 end
  return had
end

-- A cascade beside SMS only: what its own SMS cost stands where there was one, else the price of the settings.
local function add_comparison(f, m, attempts)
  f.cc = (f.ck or 0) + (f.ce or 0)
  for _, a in ipairs(attempts) do
    if a.ch == 'sms' and a.at and a.cost and a.cost ~= '' then
      f.so = money_units(a.cost)
      return
    end
  end
  local segments = math.max(1, num(m.seg))
  if m.sp and m.sp ~= '' then f.so = money_units(m.sp) * segments else f.sg = segments end
end

-- The day, the way and the measures of a final message.
local function contribution(key, m)
  local attempts, arrived, f = {}, nil, { n = 1 }
  for k = 1, num(m.na) do
    local a = take_fields(key, ATTEMPT_FIELDS, 'a' .. k .. ':')
    attempts[k] = a
    if a.st == 'delivered' and not arrived then arrived = a end
  end
  local had = add_costs(f, attempts)
  local ended = arrived or attempts[#attempts] or {}
  local channel = ended.by or ended.ch or 'sms'
  local way = 'none'
  if not had then f.x = 1
  elseif m.route == 'cascade' then
    way = 'cascade_' .. channel
    add_comparison(f, m, attempts)
  else way = channel end
  if m.st == 'delivered' and arrived then
    f['h' .. bucket(num(arrived.dl or arrived.fin) - num(m.acc))] = 1
    if channel == 'viber' then f.v = 1 end
    if arrived.rd == '1' then f.r = 1 end
  else
    local why = (m.rs and m.rs ~= '') and m.rs or m.st
    f['f:' .. string.gsub(why, '[^%w_]', '_')] = 1
  end
  return math.floor((num(m.acc) + MOSCOW_MS) / DAY_MS), way, f
end

local function dump_contribution(day, way, f)
  local names, parts = {}, {}
  for name in pairs(f) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    if f[name] ~= 0 then parts[#parts + 1] = name .. '=' .. string.format('%d', f[name]) end
  end
  return string.format('%d|%s|', day, way) .. table.concat(parts, ',')
end

local function load_contribution(text)
  local day, way, rest = string.match(text or '', '^(%-?%d+)|([%w_]+)|(.*)$')
  local f = {}
  for name, count in string.gmatch(rest or '', '([^=,]+)=(%-?%d+)') do f[name] = tonumber(count) end
  return day, way, f
end

-- Adds `f` times `sign` under `name` of one table of a day.
local function add_to_day(kind, day, name, f, sign)
  local key = T .. kind .. ':' .. day
  for measure, count in pairs(f) do
    if count ~= 0 then
      local sum = redis.call('HINCRBY', key, name .. '|' .. measure, string.format('%d', sign * count))
      -- A table begins with the first message of some name.
      if measure == 'n' and sum == 1 then
        redis.call('PEXPIREAT', key, string.format('%d', (tonumber(day) + 1) * DAY_MS - MOSCOW_MS + ROLLUP_KEPT_MS))
      end
    end
  end
end

-- The whole of a contribution, where it belongs. `m`: cr, rg.
local function add_contribution(day, way, f, m, sign)
  add_to_day('rw', day, way, f, sign)
  if m.cr and m.cr ~= '' then add_to_day('rc', day, m.cr, f, sign) end
  if m.rg and m.rg ~= '' then add_to_day('rg', day, m.rg, f, sign) end
end

local ROLLED = { 'acc', 'route', 'na', 'st', 'rs', 'seg', 'sp', 'ru', 'cr', 'rg', 'to' }

-- Brings what a final message has added up to date. May be repeated: without news it changes nothing.
local function roll_up(mid)
  local key = T .. 'm:' .. mid
  local m = take_fields(key, ROLLED, '')
  local day, way, f = contribution(key, m)
  local text = dump_contribution(day, way, f)
  if text == m.ru then return end
  add_contribution(string.format('%d', day), way, f, m, 1)
  if m.ru then
    local old_day, old_way, old = load_contribution(m.ru)
    add_contribution(old_day, old_way, old, m, -1)
  elseif (m.to or '') ~= '' then
    redis.call('ZADD', T .. 'unplaced', now(), mid)
  end
  redis.call('HSET', key, 'ru', text)
end

-- The same for a message that may be final: what is said of an attempt can change its cost, or that it was read.
local function roll_up_again(mid)
  if redis.call('HEXISTS', T .. 'm:' .. mid, 'ru') == 1 then roll_up(mid) end
end
