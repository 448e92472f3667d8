-- ARGV: the reason, for how long the tombstones stand, channel; "final" where what ceilings left ends, too, else it is a
-- ceiling; for each session its key, its incarnation and the notice. The answer names the sessions that hold connection
-- tokens, which a ceiling leaves.
local reason, final, left = ARGV[4], ARGV[7] == 'final', {}
for a = 8, #ARGV, 3 do
  name(ARGV[a])
  local e = read()
  local ends = e.alive and e.i == ARGV[a + 1]
  if ends and not final and e.k ~= '0' then
    left[#left + 1] = id
    ends = false
  elseif final and e.gone and e.a == ARGV[a + 1] then
    ends = e.g ~= reason or e.left
  end
  if ends then
    bury(e, reason, now + ARGV[5])
    redis.call('PUBLISH', ARGV[6], ARGV[a + 2])
  end
end
return {'ok', left}
