-- ARGV: the owner, for how long.
local e = read()
local no = held(e, ARGV[4])
if no then return no end
hold(e, ARGV[4], ARGV[5])
return {'ok', e.e}
