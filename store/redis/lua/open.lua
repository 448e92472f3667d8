-- ARGV: the format number of this release, the channel of notices. A refusal comes before
-- anything is written, or in the answer: commands that this user may not run. They are
-- tried on a key that is not there, and leave nothing.
local probe, denied = prefix .. 'probe', {}
local function try(name, ...)
  local answer = redis.pcall(name, ...)
  local err = type(answer) == 'table' and answer.err
  if err and (err:find("can't", 1, true) or err:find('ermission', 1, true)) then denied[#denied + 1] = name:lower() end
end
try('PUBLISH', ARGV[5], '')
for _, name in ipairs({'GET', 'GETDEL', 'DEL', 'PERSIST', 'ZCARD'}) do try(name, probe) end
for _, name in ipairs({'HGET', 'HMGET', 'HDEL', 'ZREM', 'ZSCORE'}) do try(name, probe, 'x') end
for _, name in ipairs({'ZRANGE', 'ZRANGEBYSCORE'}) do try(name, probe, 0, 0) end
try('ZSCAN', probe, 0)
try('ZRANGEBYLEX', probe, '-', '+')
try('PEXPIREAT', probe, 0)
try('SET', probe, '', 'XX')
try('ZADD', probe, 'XX', 0, 'x')
if #denied == 0 then
  try('HSET', probe, 'x', '')
  redis.pcall('DEL', probe)
end
if #denied > 0 then return {'ok', '', table.concat(denied, ' ')} end

local format = redis.call('GET', prefix .. 'format')
local older = tonumber(format or 0)
if older and older < tonumber(ARGV[4]) then -- what an older format wrote is read as it is
  format = ARGV[4]
  redis.call('SET', prefix .. 'format', format)
end
return {'ok', format}
