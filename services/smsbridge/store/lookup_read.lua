-- account tag, numbers
-- What is known of numbers, without spending. ARGV: JSON of ages by outcome (ms), JSON list of lists of digests.
-- Answers a list of {known, flight, failed}; what does not hold is left out.
local ages, asked, answers = cjson.decode(ARGV[1]), cjson.decode(ARGV[2]), {}
for i, digests in ipairs(asked) do answers[i] = look(number_key(digests), ages) end
return cjson.encode(answers)
