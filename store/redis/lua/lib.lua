-- What every script begins with. ARGV[1] is the prefix of all keys, ARGV[2] the session key in
-- hexadecimal (empty where a script is about many), ARGV[3] how long tombstones stand.
--
-- Instants and durations are milliseconds by the server's clock. An entry is judged by
-- what stands in it; that Redis drops keys by itself only keeps the place tidy.
--
-- Nothing is undone when a script fails midway. Redis refuses for want of memory only a
-- script's first write, so each script either fails there or goes through.
local prefix, id, keep = ARGV[1], ARGV[2], tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local key = prefix .. 's:' .. id

-- The indexes over all sessions. Where a ceiling or an instant is part of a place, all scores are 0
-- and the places are in the order of their bytes.
local due = prefix .. 'due'         -- places of all records with a ceiling
local open = prefix .. 'open'       -- those of them that may be claimed
local claims = prefix .. 'claims'   -- the others, scored by when the claim lapses
local intents = prefix .. 'intents' -- places of intents

-- read returns the entry of this session: its fields, false where there is none, and what they
-- mean now. The fields are
--   v i r  version, incarnation, record        t    when the record lapses; none: never
--   c      ceiling, 16 digits that sort         x    index values, 64 digits each
--   w      when the record was last written or touched; none: by an earlier release
--   k      whether connection tokens are held, 0 or 1; none: format 1, they may be
--   n m    intent: 16 digits that sort, epoch, hash; how often its token was presented again:
--          when next, 16 digits that sort, and the number; none: not once
--   g u a  reason of the tombstone, until when it stands, incarnation; no a: format 1
--   p q y z  remainder in the tombstone: version, sealed state, index values, until when
--   o l e  owner of the lease, until when, and the last epoch given
local fields = {'v', 'i', 't', 'c', 'x', 'k', 'n', 'm', 'g', 'u', 'a', 'p', 'y', 'z', 'o', 'l', 'e'} -- not r and q, which are long
local function read()
  local f = redis.call('HMGET', key, unpack(fields))
  local e = {}
  for at, name in ipairs(fields) do e[name] = f[at] end
  e.alive = e.v and not (e.t and now >= tonumber(e.t))
  e.gone = e.g and now < tonumber(e.u)
  e.left = e.gone and e.p and now < tonumber(e.z)
  e.leased = e.o and now < tonumber(e.l)
  return e
end

-- name has what follows be about another session.
local function name(session)
  id = session
  key = prefix .. 's:' .. id
end

-- absent returns the answer that says that there is no record, nil when there is one.
local function absent(e)
  if e.alive then return nil end
  if e.gone then return {'gone', e.g} end
  return {'none'}
end

-- overtaken reports whether a lease was given under a later epoch.
local function overtaken(e, epoch)
  return e.e and tonumber(epoch) < tonumber(e.e)
end

-- enlist puts this session into the list of that name until t, drops a few that have lapsed there, and
-- lets the list end with the last that it names.
local function enlist(name, t)
  local list = prefix .. 'x:' .. name
  redis.call('ZADD', list, t or '+inf', id)
  local lapsed = redis.call('ZRANGEBYSCORE', list, '-inf', now, 'LIMIT', 0, 10)
  if #lapsed > 0 then redis.call('ZREM', list, unpack(lapsed)) end
  local last = redis.call('ZRANGE', list, -1, -1, 'WITHSCORES')[2]
  if last == 'inf' then
    redis.call('PERSIST', list)
  elseif last then
    redis.call('PEXPIREAT', list, last)
  end
end

-- index lists this session under the values in x until t, and with all that live where all is true: a
-- remainder is not.
local function index(x, t, all)
  for from = 1, #x, 64 do enlist(x:sub(from, from + 63), t) end
  if all then enlist('all', t) end
end

-- unlist takes this session out of the lists of the values in x.
local function unlist(x)
  for from = 1, #x, 64 do
    redis.call('ZREM', prefix .. 'x:' .. x:sub(from, from + 63), id)
  end
end

-- forget removes the record of e and its intent, from the indexes too. The caller settles.
local function forget(e)
  redis.call('HDEL', key, 'v', 'i', 'r', 't', 'c', 'x', 'k', 'n', 'm', 'w')
  if e.x then
    unlist(e.x)
    redis.call('ZREM', prefix .. 'x:all', id)
  end
  if e.c then
    local place = e.c .. id
    redis.call('ZREM', due, place)
    redis.call('ZREM', open, place)
    redis.call('ZREM', claims, place)
  end
  if e.n then redis.call('ZREM', intents, e.n:sub(1, 16) .. id) end
  e.v, e.i, e.t, e.c, e.x, e.k, e.n, e.m = false, false, false, false, false, false, false, false
end

-- unbury removes the tombstone of e, and the remainder in it. The caller settles.
local function unbury(e)
  if not e.g then return end
  redis.call('HDEL', key, 'g', 'u', 'a', 'p', 'q', 'y', 'z')
  if e.y then unlist(e.y) end
  e.g, e.u, e.a, e.p, e.y, e.z = false, false, false, false, false, false
end

-- settle lets Redis drop the entry once nothing of it means anything. The epoch is
-- kept for late writers as long as a tombstone.
local function settle(e)
  local last = now
  if e.v then
    if not e.t then
      redis.call('PERSIST', key)
      return
    end
    last = math.max(last, tonumber(e.t))
  end
  if e.g then last = math.max(last, tonumber(e.u)) end
  if e.o then last = math.max(last, tonumber(e.l)) end
  if e.e then last = last + keep end
  redis.call('PEXPIREAT', key, last)
end

-- bury puts a tombstone that stands until the given instant in the place of the record of e, or of the
-- tombstone that stood; left, which may be nil, is the remainder. It removes first, so that a
-- session can end where memory is full.
local function bury(e, reason, stands, left)
  local of = e.alive and e.i or e.a
  if e.v then forget(e) end
  unbury(e)
  e.g, e.u, e.a = reason, stands, of
  redis.call('HSET', key, 'g', e.g, 'u', e.u)
  if of then redis.call('HSET', key, 'a', of) end
  if left then
    e.p, e.y, e.z = left.version, left.values ~= '' and left.values, left.stands
    redis.call('HSET', key, 'p', e.p, 'q', left.sealed, 'z', e.z)
    if e.y then
      redis.call('HSET', key, 'y', e.y)
      index(e.y, e.z)
    end
  end
  settle(e)
end

-- hold gives e the lease, which no other owner holds.
--
-- Epochs count up over all sessions, and are never behind the server's clock in microseconds: so
-- they grow even where Redis lost its last writes, or everything.
local function hold(e, owner, ttl)
  if not e.leased then
    local last = math.max(tonumber(redis.call('GET', prefix .. 'epoch') or 0), tonumber(e.e or 0))
    local clock = math.min(time[1] * 1000000 + time[2], 2 ^ 52) -- a Lua number counts exactly up to 2^53
    e.e = string.format('%.0f', math.max(last + 1, clock))
    redis.call('SET', prefix .. 'epoch', e.e)
  end
  e.o, e.l = owner, now + ttl
  redis.call('HSET', key, 'o', e.o, 'l', e.l, 'e', e.e)
  settle(e)
end

-- held returns the answer that says that another owner holds the lease, nil when none does.
local function held(e, owner)
  if e.leased and e.o ~= owner then return {'leased', e.o, e.l - now} end
end

-- giveBack ends the lease, if owner holds it at that epoch. The caller settles.
local function giveBack(e, owner, epoch)
  if not (e.leased and e.o == owner and e.e == epoch) then return false end
  redis.call('HDEL', key, 'o', 'l')
  e.o, e.l, e.leased = false, false, false
  return true
end

-- stood reports whether the intent of e is of the token of n, and which tries an intent has that is put
-- in its place: nil where a recovery was first.
local function stood(e, n, tries)
  local same = e.n and e.n:sub(25) == n:sub(25)
  if same and e.m then
    if tries == '' then return same, e.m end
    if tonumber(tries:sub(17)) <= tonumber(e.m:sub(17)) then return same, nil end
  end
  return same, tries
end

-- inBytes returns n as 8 bytes, the most significant first.
local function inBytes(n)
  local b = ''
  for _ = 1, 8 do
    b = string.char(n % 256) .. b
    n = math.floor(n / 256)
  end
  return b
end

-- intend puts an intent in the place of that of e.
local function intend(e, n, tries)
  redis.call('HSET', key, 'n', n)
  if tries ~= '' then
    redis.call('HSET', key, 'm', tries)
  elseif e.m then
    redis.call('HDEL', key, 'm')
  end
  local place = n:sub(1, 16) .. id
  if e.n and e.n:sub(1, 16) .. id ~= place then redis.call('ZREM', intents, e.n:sub(1, 16) .. id) end
  redis.call('ZADD', intents, 0, place)
end

-- put writes a record over that of e, which may have none. A tombstone goes, and an intent unless keep is
-- true. A claim stays, but where claimable is true.
local function put(e, v, i, r, c, x, ttl, k, claimable, keep)
  if e.v and not e.alive then forget(e) end
  local t = tonumber(ttl) > 0 and now + ttl

  local set, drop = {'v', v, 'i', i, 'r', r, 'k', k, 'w', now}, {}
  local function field(name, value)
    if value then
      set[#set + 1] = name
      set[#set + 1] = value
    elseif e[name] then
      drop[#drop + 1] = name
    end
  end
  c, x = c ~= '' and c, x ~= '' and x
  field('t', t)
  field('c', c)
  field('x', x)
  if not keep then
    field('n', false)
    field('m', false)
  end
  redis.call('HSET', key, unpack(set))
  if #drop > 0 then redis.call('HDEL', key, unpack(drop)) end
  unbury(e)

  if e.n and not keep then redis.call('ZREM', intents, e.n:sub(1, 16) .. id) end
  if e.x and e.x ~= x then unlist(e.x) end
  if e.x and not x then redis.call('ZREM', prefix .. 'x:all', id) end
  if x and (x ~= e.x or t or e.t) then index(x, t, true) end
  if e.c ~= c then
    local claimed = false
    if e.c then
      local place = e.c .. id
      claimed = not claimable and redis.call('ZSCORE', claims, place)
      redis.call('ZREM', due, place)
      redis.call('ZREM', open, place)
      redis.call('ZREM', claims, place)
    end
    if c then
      redis.call('ZADD', due, 0, c .. id)
      if claimed then
        redis.call('ZADD', claims, claimed, c .. id)
      else
        redis.call('ZADD', open, 0, c .. id)
      end
    end
  elseif c and claimable and redis.call('ZREM', claims, c .. id) == 1 then
    redis.call('ZADD', open, 0, c .. id)
  end

  e.v, e.i, e.t, e.c, e.x, e.k = v, i, t, c, x, k
  if not keep then e.n, e.m = false, false end
  settle(e)
end

-- look returns incarnation, ceiling, index values, whether connection tokens are held, and whether it has
-- ended, of the living record or the remainder of another session, and when that was written or touched; nil when there is neither.
-- With a name it returns that field of a record as more, too.
local function look(id, name)
  local f = redis.call('HMGET', prefix .. 's:' .. id, 'v', 't', 'i', 'c', 'x', 'k', 'g', 'u', 'a', 'y', 'z', 'w', name or 'w')
  if f[1] and not (f[2] and now >= tonumber(f[2])) then
    return {i = f[3], c = f[4] or '', x = f[5] or '', k = f[6] or '1', ended = '', w = f[12] or '', more = f[13] or ''}
  end
  if f[7] and now < tonumber(f[8]) and f[11] and now < tonumber(f[11]) then
    return {i = f[9] or string.rep('\0', 16), c = '', x = f[10] or '', k = '1', ended = '1', w = '', more = ''}
  end
end

-- list appends what look returned to an answer.
local function list(found, id, r)
  local n = #found
  found[n + 1], found[n + 2], found[n + 3], found[n + 4], found[n + 5] = id, r.i, r.c, r.k, r.ended
end
