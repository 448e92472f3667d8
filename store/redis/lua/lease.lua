-- ARGV: the owner, for how long.
--
-- Epochs count up over all sessions, and are never behind the server's clock in microseconds: so
-- they grow even where Redis lost its last writes, or everything.
local e = read()
if e.leased and e.o ~= ARGV[4] then return {'leased'} end
if not e.leased then
  local last = math.max(tonumber(redis.call('GET', prefix .. 'epoch') or 0), tonumber(e.e or 0))
  local clock = math.min(time[1] * 1000000 + time[2], 2 ^ 52) -- a Lua number counts exactly up to 2^53
  e.e = string.format('%.0f', math.max(last + 1, clock))
  redis.call('SET', prefix .. 'epoch', e.e)
end
e.o, e.l = ARGV[4], now + ARGV[5]
redis.call('HSET', key, 'o', e.o, 'l', e.l, 'e', e.e)
settle(e)
return {'ok', e.e}
