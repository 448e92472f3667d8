local f = redis.call('HMGET', key, 'r', 't', 'g', 'u')
if f[1] and not (f[2] and now >= tonumber(f[2])) then return {'ok', f[1]} end
if f[3] and now < tonumber(f[4]) then return {'gone', f[3]} end
return {'none'}
