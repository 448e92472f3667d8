-- ARGV: where to begin, how many intents to look at. The answer ends with where to go on, empty at
-- the end.
local places = redis.call('ZRANGEBYLEX', intents, ARGV[4], '+', 'LIMIT', 0, ARGV[5])
local found = {}
for _, place in ipairs(places) do
  local id = place:sub(17)
  local f = redis.call('HMGET', prefix .. 's:' .. id, 'v', 't', 'n', 'o', 'l', 'm')
  if not f[1] or f[2] and now >= tonumber(f[2]) or not f[3] or f[3]:sub(1, 16) ~= place:sub(1, 16) then
    redis.pcall('ZREM', intents, place) -- its record lapsed
  elseif not (f[4] and now < tonumber(f[5])) then
    found[#found + 1] = id
    found[#found + 1] = f[3]
    found[#found + 1] = f[6] or ''
  end
end
return {'ok', found, #places == tonumber(ARGV[5]) and places[#places] or ''}
