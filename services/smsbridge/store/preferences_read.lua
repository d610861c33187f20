-- any tag
-- Preferred channels of numbers. ARGV[1] JSON list of lists of digests (of one number: with the newest master key first).
-- What was set by hand wins over what was learned; of several the newest. Answers a list of channels, empty for none.
local asked, answers = cjson.decode(ARGV[1]), {}

local function newest(values)
  local channel, at = '', -1
  for _, value in ipairs(values) do
    local word, when = string.match(value, '^(.*)|(%d+)$')
    if word and tonumber(when) > at then channel, at = word, tonumber(when) end
  end
  return channel
end

for place, digests in ipairs(asked) do
  local hand, learned = {}, {}
  for _, digest in ipairs(digests) do
    for _, value in ipairs(redis.call('HVALS', T .. 'hand:' .. digest)) do hand[#hand + 1] = value end
    local value = redis.call('GET', T .. 'pref:' .. digest)
    if value then learned[#learned + 1] = value end
  end
  answers[place] = #hand > 0 and newest(hand) or newest(learned)
end
return cjson.encode(answers)
