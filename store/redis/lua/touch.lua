-- ARGV: the TTL.
local e = read()
local no = absent(e)
if no then return no end
local before = e.t
e.t = tonumber(ARGV[4]) > 0 and now + ARGV[4]
redis.call('HSET', key, 'w', now)
if e.t then
  redis.call('HSET', key, 't', e.t)
elseif before then
  redis.call('HDEL', key, 't')
end
if e.x and (e.t or before) then index(e.x, e.t, true) end
settle(e)
return {'ok'}
