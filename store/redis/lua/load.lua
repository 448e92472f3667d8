local f = redis.call('HMGET', key, 'r', 't', 'g', 'u', 'a', 'p', 'q', 'y', 'z')
if f[1] and not (f[2] and now >= tonumber(f[2])) then return {'ok', f[1]} end
if not (f[3] and now < tonumber(f[4])) then return {'none'} end
local gone = {'gone', f[3], f[4] - now, f[5] or ''}
if f[6] and now < tonumber(f[9]) then
  for _, part in ipairs({f[6], f[7], f[8] or '', f[9] - now}) do gone[#gone + 1] = part end
end
return gone
