-- ARGV: the owner, the epoch.
local e = read()
if e.leased and e.o == ARGV[4] and e.e == ARGV[5] then
  redis.call('HDEL', key, 'o', 'l')
  e.o, e.l = false, false
  settle(e)
end
return {'ok'}
