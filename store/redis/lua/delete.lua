-- ARGV: the incarnation (empty: any), the reason, channel, notice.
local e = read()
if e.alive then
  if ARGV[4] ~= '' and ARGV[4] ~= e.i then return {'ok'} end
elseif not (e.gone and ARGV[4] == '') then
  return {'ok'}
end
local changed = e.alive or e.g ~= ARGV[5]
bury(e, ARGV[5], now + keep)
if changed then redis.call('PUBLISH', ARGV[6], ARGV[7]) end
return {'ok'}
