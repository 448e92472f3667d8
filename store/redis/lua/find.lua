-- ARGV: how many sessions to look at, how many values, the values, and sessions. Without sessions
-- those that the lists of the values name. The answer ends with the sessions that were not looked at.
local limit, last = tonumber(ARGV[4]), 5 + tonumber(ARGV[5])
local wanted, ids, seen = {}, {}, {}
for a = 6, last do wanted[ARGV[a]] = true end
for a = last + 1, #ARGV do ids[#ids + 1] = ARGV[a] end
if #ids == 0 then
  for a = 6, last do
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'x:' .. ARGV[a], string.format('(%.0f', now), '+inf')) do
      if not seen[id] then
        seen[id] = true
        ids[#ids + 1] = id
      end
    end
  end
end

local found, rest = {}, {}
for n, id in ipairs(ids) do
  if n > limit then
    rest[#rest + 1] = id
  else
    local r = look(id)
    local fits = false
    for from = 1, r and #r.x or 0, 64 do
      if wanted[r.x:sub(from, from + 63)] then fits = true end
    end
    if fits then
      list(found, id, r)
    else
      for value in pairs(wanted) do redis.pcall('ZREM', prefix .. 'x:' .. value, id) end
    end
  end
end
return {'ok', found, rest}
