-- ARGV: the version; the owner (empty: none), for how long; the intent (empty: none), whose epoch is
-- written here, and how often its token was presented again. The answer is the record where that has
-- moved; else the epoch, the intent and its tries, and those of the one of the same token that stood.
local e = read()
local no = absent(e)
local owner, n = ARGV[5], ARGV[7]
if no and no[1] == 'none' and ARGV[4] == string.rep('\0', 16) then -- a key that has no record
  n = ''
elseif no then
  return no
elseif e.v ~= ARGV[4] then
  return {'ok', 'moved', redis.call('HGET', key, 'r')}
end
if owner == '' and e.e then return {'conflict'} end
no = owner ~= '' and held(e, owner)
if no then return no end
local same, tries = false, ''
if n ~= '' then
  same, tries = stood(e, n, ARGV[8])
  if not tries then return {'presented'} end
end
if owner ~= '' then hold(e, owner, ARGV[6]) end
local answer = {'ok', 'begun', e.e or '0', '', '', '', ''}
if n ~= '' then
  n = n:sub(1, 16) .. inBytes(tonumber(e.e or 0)) .. n:sub(25)
  intend(e, n, tries)
  answer[4], answer[5] = n, tries
  if same then answer[6], answer[7] = e.n, e.m or '' end
end
return answer
