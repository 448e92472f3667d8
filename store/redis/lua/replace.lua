-- ARGV: version, incarnation, record, ceiling, index values, TTL, channel, notice.
put(read(), ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9], true)
redis.call('PUBLISH', ARGV[10], ARGV[11])
return {'ok'}
