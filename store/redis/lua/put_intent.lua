-- ARGV: the intent, its epoch. It says whether one of the same token stood.
local e = read()
local no = absent(e)
if no then return no end
if overtaken(e, ARGV[5]) then return {'conflict'} end
local again = e.n and e.n:sub(25) == ARGV[4]:sub(25)
redis.call('HSET', key, 'n', ARGV[4])
local place = ARGV[4]:sub(1, 16) .. id
if e.n and e.n:sub(1, 16) .. id ~= place then redis.call('ZREM', intents, e.n:sub(1, 16) .. id) end
redis.call('ZADD', intents, 0, place)
return {'ok', again and 'again' or ''}
