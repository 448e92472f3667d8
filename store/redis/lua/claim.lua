-- ARGV: until which place, how many to look at, for how long they are claimed. The answer ends with
-- whether there may be more.
local limit = tonumber(ARGV[5])
local back = redis.call('ZRANGEBYSCORE', claims, '-inf', now, 'LIMIT', 0, limit)
for _, place in ipairs(back) do
  redis.call('ZREM', claims, place)
  redis.call('ZADD', open, 0, place)
end
local places = redis.call('ZRANGEBYLEX', open, '-', ARGV[4], 'LIMIT', 0, limit)
local found = {}
for _, place in ipairs(places) do
  redis.call('ZREM', open, place)
  local r = look(place:sub(17))
  if r and r.c == place:sub(1, 16) then
    redis.call('ZADD', claims, now + ARGV[6], place)
    list(found, place:sub(17), r)
  else -- its record lapsed
    redis.call('ZREM', due, place)
  end
end
return {'ok', found, (#places == limit or #back == limit) and 'more' or ''}
