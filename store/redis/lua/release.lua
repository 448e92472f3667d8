-- ARGV: the owner, the epoch.
local e = read()
if giveBack(e, ARGV[4], ARGV[5]) then settle(e) end
return {'ok'}
