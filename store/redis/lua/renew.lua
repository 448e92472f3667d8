-- ARGV: the owner, the epoch, for how long.
local e = read()
if not (e.leased and e.o == ARGV[4] and e.e == ARGV[5]) then return {'conflict'} end
hold(e, ARGV[4], ARGV[6])
return {'ok'}
