-- ARGV: the format number of this release, the channel of notices. What is not allowed fails
-- before anything is written.
redis.call('PUBLISH', ARGV[5], '')
local format = redis.call('GET', prefix .. 'format')
if not format then
  format = ARGV[4]
  redis.call('SET', prefix .. 'format', format)
end
return {'ok', format}
