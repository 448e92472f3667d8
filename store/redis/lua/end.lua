-- ARGV: the incarnation (empty: any), the reason, for how long the tombstone stands; "final" where it
-- ends what a ceiling left, too, "ceiling" where it is one; the version it was made from (empty:
-- none); channel, notice; of the remainder, empty where there is none: version, sealed state, index
-- values, for how long.
local only, reason, kind, prev = ARGV[4], ARGV[5], ARGV[7], ARGV[8]
local left = ARGV[11] ~= '' and {version = ARGV[11], sealed = ARGV[12], values = ARGV[13], stands = now + ARGV[14]} or nil
local e = read()
local stands = now + ARGV[6]
if e.alive then
  if only ~= '' and only ~= e.i then return {'ok'} end
  if kind == 'ceiling' then
    local knowsOfNone = prev == '' and not left
    if knowsOfNone and e.k ~= '0' or not knowsOfNone and prev ~= e.v then return {'conflict'} end
  end
elseif not e.gone or only ~= '' and only ~= e.a then
  return {'ok'}
elseif kind == 'final' then
  if e.g == reason and not e.left then return {'ok'} end
elseif not left or e.g ~= reason then
  return {'ok'}
elseif prev ~= (e.left and e.p or '') then
  return {'conflict'}
else
  stands = math.max(stands, tonumber(e.u))
end
bury(e, reason, stands, left)
redis.call('PUBLISH', ARGV[9], ARGV[10])
return {'ok'}
