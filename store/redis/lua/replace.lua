-- ARGV: version, incarnation, record, ceiling, index values, TTL, whether connection tokens are held,
-- channel, notice.
put(read(), ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10], true)
redis.call('PUBLISH', ARGV[11], ARGV[12])
return {'ok'}
