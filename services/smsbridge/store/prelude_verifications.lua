-- What the scripts about verifications share. Provider tag.
--
--   v:ID           hash, one verification: st (core.verification.State), why, ent (contact, lead, company, or empty for a
--                  file), body (its filter, sealed), size (numbers of a file), made, confirmed, ended, tok (whose it is),
--                  cur (everything up to there is done: an id of the CRM, or how many chunks of the file), quote (JSON),
--                  price (roubles of the quote, as text), acc (the account that it was made for), allow (roubles that may
--                  be spent in all), old (JSON: spent by accounts before), n (distinct numbers that are done), e:WORD
--                  (entities, by what became of them; e:done all), run (when its owner took it), run_e (e:done then),
--                  was (e:done when the quote was made)
--   vc:ID          hash, how many numbers: "o|OUTCOME", "c|CARRIER", "g|REGION"
--   vn:ID          hash, the numbers that are done, by digest: what is known of them. Until it ends
--   vk:ID          hash, the numbers of a file in chunks, sealed. Until it ends
--   verifications  sorted set, all of them by the time they were made
--   vruns          sorted set, those that somebody works at or is to, by when the next one may take it

local function whole(n) return string.format('%d', n) end

local function record(id) return T .. 'v:' .. id end

local function each_key(id, act)
  for _, name in ipairs({ 'v:', 'vc:', 'vn:', 'vk:' }) do act(T .. name .. id) end
end

-- Whether it is the token's own. Nobody's where its lease was taken over, or it was moved by hand.
local function owned(id, token) return token ~= '' and redis.call('HGET', record(id), 'tok') == token end
