-- ARGV: the intent, its epoch, how often its token was presented again. It says whether one of
-- the same token stood.
local e = read()
local no = absent(e)
if no then return no end
if overtaken(e, ARGV[5]) then return {'conflict'} end
local same, tries = stood(e, ARGV[4], ARGV[6])
if not tries then return {'presented'} end
intend(e, ARGV[4], tries)
return {'ok', same and 'again' or ''}
