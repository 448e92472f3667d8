-- ARGV: the intent.
if redis.call('HGET', key, 'n') == ARGV[4] then
  redis.call('HDEL', key, 'n', 'm')
  redis.call('ZREM', intents, ARGV[4]:sub(1, 16) .. id)
end
return {'ok'}
