-- ARGV: from and until which place, how many to look at. The answer ends with where to go on, empty
-- at the end.
local places = redis.call('ZRANGEBYLEX', due, ARGV[4], ARGV[5], 'LIMIT', 0, ARGV[6])
local found = {}
for _, place in ipairs(places) do
  local r = look(place:sub(17))
  if r and r.c == place:sub(1, 16) then
    list(found, place:sub(17), r)
  else -- its record lapsed
    redis.pcall('ZREM', due, place)
    redis.pcall('ZREM', open, place)
  end
end
return {'ok', found, #places == tonumber(ARGV[6]) and places[#places] or ''}
