-- provider tag, errands
-- Keeps errands. ARGV[1] JSON list of what `errand_put` takes. Answers a list of `taken` or `duplicate`, in its order; a
-- repeat of the call answers `duplicate` where the first one took.
local given, answers = cjson.decode(ARGV[1]), {}
for place, e in ipairs(given) do errand_check(e, place) end
for place, e in ipairs(given) do answers[place] = errand_put(e) end
return cjson.encode(answers)
