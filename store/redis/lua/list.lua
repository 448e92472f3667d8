-- ARGV: the value, empty: all, "due": by ceiling; where to begin (by ceiling: and until which place), how many to look at, and
-- whether the records are wanted. The answer ends with where to go on, empty at the end.
--
-- A short list is sorted by key. A long one is walked as SCAN does, in the order of its hash table: a session that stands in it
-- all the time is not missed, and may come twice where many come and go. Its places begin with c, those of a
-- short list with k.
local value, after, before, limit, wanted = ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7]), ARGV[8] == '1'
local short = 1000
local ids, next = {}, ''

if value == 'due' then
  local places = redis.call('ZRANGEBYLEX', due, after, before, 'LIMIT', 0, limit)
  for at, place in ipairs(places) do ids[at] = place:sub(17) end
  if #places == limit then next = places[limit] end
else
  local members = prefix .. 'x:' .. (value == '' and 'all' or value)
  if after:sub(1, 1) ~= 'c' and redis.call('ZCARD', members) <= short then
    local sorted = redis.call('ZRANGEBYSCORE', members, string.format('(%.0f', now), '+inf')
    table.sort(sorted)
    for _, id in ipairs(sorted) do
      if 'k' .. id > after then
        if #ids == limit then
          next = 'k' .. ids[limit]
          break
        end
        ids[#ids + 1] = id
      end
    end
  else
    local walked = redis.call('ZSCAN', members, after:sub(1, 1) == 'c' and after:sub(2) or '0', 'COUNT', limit)
    for at = 1, #walked[2], 2 do ids[#ids + 1] = walked[2][at] end
    if walked[1] ~= '0' then next = 'c' .. walked[1] end
  end
end

-- fits reports whether a session is of the list that was walked: that may name some that have changed since.
local function fits(r)
  if value == 'due' then return r.c ~= '' end
  if value == '' then return r.ended == '' and r.x ~= '' end
  for from = 1, #r.x, 64 do
    if r.x:sub(from, from + 63) == value then return true end
  end
end

local found = {}
for _, id in ipairs(ids) do
  local r = look(id, wanted and 'r' or nil)
  if r and fits(r) then
    list(found, id, r)
    found[#found + 1] = r.w
    found[#found + 1] = r.more
  end
end
return {'ok', found, next}
