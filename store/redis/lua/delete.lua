-- ARGV: the incarnation (empty: any), the reason, channel, notice.
local e = read()
if e.alive then
  if ARGV[4] ~= '' and ARGV[4] ~= e.i then return {'ok'} end
  forget(e) -- removes first, so that a session can end where memory is full
elseif not (e.gone and ARGV[4] == '') then
  return {'ok'}
end
local told = e.alive or e.g ~= ARGV[5]
e.g, e.u = ARGV[5], now + keep
redis.call('HSET', key, 'g', e.g, 'u', e.u)
settle(e)
if told then redis.call('PUBLISH', ARGV[6], ARGV[7]) end
return {'ok'}
