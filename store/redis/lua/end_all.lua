-- ARGV: the reason, for how long the tombstones stand, channel; for each session its key, its
-- incarnation and the notice. The answer names the sessions that hold connection tokens.
local left = {}
for a = 7, #ARGV, 3 do
  name(ARGV[a])
  local e = read()
  if e.alive and e.i == ARGV[a + 1] then
    if e.k == '0' then
      bury(e, ARGV[4], now + ARGV[5])
      redis.call('PUBLISH', ARGV[6], ARGV[a + 2])
    else
      left[#left + 1] = id
    end
  end
end
return {'ok', left}
