-- ARGV: the intent, its epoch, how often its token was presented again. It says whether one of
-- the same token stood.
local e = read()
local no = absent(e)
if no then return no end
if overtaken(e, ARGV[5]) then return {'conflict'} end
local again = e.n and e.n:sub(25) == ARGV[4]:sub(25)
local tries = ARGV[6]
if again and e.m then
  if tries == '' then
    tries = e.m
  elseif tonumber(tries:sub(17)) <= tonumber(e.m:sub(17)) then
    return {'presented'}
  end
end
redis.call('HSET', key, 'n', ARGV[4])
if tries ~= '' then
  redis.call('HSET', key, 'm', tries)
elseif e.m then
  redis.call('HDEL', key, 'm')
end
local place = ARGV[4]:sub(1, 16) .. id
if e.n and e.n:sub(1, 16) .. id ~= place then redis.call('ZREM', intents, e.n:sub(1, 16) .. id) end
redis.call('ZADD', intents, 0, place)
return {'ok', again and 'again' or ''}
