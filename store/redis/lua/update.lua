-- ARGV: as replace.lua, then the version that must stand, and the writer's epoch.
local e = read()
local no = absent(e)
if no then return no end
if e.v ~= ARGV[12] or e.i ~= ARGV[5] or overtaken(e, ARGV[13]) then return {'conflict'} end
put(e, ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9], false)
redis.call('PUBLISH', ARGV[10], ARGV[11])
return {'ok'}
