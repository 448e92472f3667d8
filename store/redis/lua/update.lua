-- ARGV: as replace.lua, then the version that must stand, the writer's epoch, and the owner who gives
-- the lease back (empty: none), and 1 where the intent stays.
local e = read()
local no = absent(e)
if no then return no end
if e.v ~= ARGV[13] or e.i ~= ARGV[5] or overtaken(e, ARGV[14]) then return {'conflict'} end
if ARGV[15] ~= '' then giveBack(e, ARGV[15], ARGV[14]) end
put(e, ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10], false, ARGV[16] == '1')
redis.call('PUBLISH', ARGV[11], ARGV[12])
return {'ok'}
