-- What every script begins with. ARGV[1] is the prefix of all keys, ARGV[2] the session key in
-- hexadecimal (empty where a script is about many), ARGV[3] how long tombstones stand.
--
-- Instants and durations are milliseconds by the server's clock. An entry is judged by
-- what stands in it; that Redis drops keys by itself only keeps the place tidy.
--
-- Nothing is undone when a script fails midway. Redis refuses for want of memory only what is
-- a script's first write, so each script either fails there or goes through.
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
--   n m    intent: 16 digits that sort, epoch, hash; how often its token was presented again:
--          when next, 16 digits that sort, and the number; none: not once
--   g u    reason of the tombstone, and until when it stands
--   o l e  owner of the lease, until when, and the last epoch given
local function read()
  local f = redis.call('HMGET', key, 'v', 'i', 't', 'c', 'x', 'n', 'g', 'u', 'o', 'l', 'e', 'm')
  local e = {v = f[1], i = f[2], t = f[3], c = f[4], x = f[5], n = f[6], g = f[7], u = f[8], o = f[9], l = f[10], e = f[11], m = f[12]}
  e.alive = e.v and not (e.t and now >= tonumber(e.t))
  e.gone = e.g and now < tonumber(e.u)
  e.leased = e.o and now < tonumber(e.l)
  return e
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

-- index lists this session under the values in x until t, drops a few that have lapsed there,
-- and lets each list end with the last that it names.
local function index(x, t)
  for from = 1, #x, 64 do
    local list = prefix .. 'x:' .. x:sub(from, from + 63)
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
end

-- unlist takes this session out of the lists of the values in x.
local function unlist(x)
  for from = 1, #x, 64 do
    redis.call('ZREM', prefix .. 'x:' .. x:sub(from, from + 63), id)
  end
end

-- forget removes the record of e and its intent, from the indexes too. The caller settles.
local function forget(e)
  redis.call('HDEL', key, 'v', 'i', 'r', 't', 'c', 'x', 'n', 'm')
  if e.x then unlist(e.x) end
  if e.c then
    local place = e.c .. id
    redis.call('ZREM', due, place)
    redis.call('ZREM', open, place)
    redis.call('ZREM', claims, place)
  end
  if e.n then redis.call('ZREM', intents, e.n:sub(1, 16) .. id) end
  e.v, e.i, e.t, e.c, e.x, e.n, e.m = false, false, false, false, false, false, false
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

-- put writes a record over that of e, which may have none. An intent and a tombstone
-- go. A claim stays, but where claimable is true.
local function put(e, v, i, r, c, x, ttl, claimable)
  if e.v and not e.alive then forget(e) end
  local t = tonumber(ttl) > 0 and now + ttl

  local set, drop = {'v', v, 'i', i, 'r', r}, {}
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
  field('n', false)
  field('m', false)
  field('g', false)
  field('u', false)
  redis.call('HSET', key, unpack(set))
  if #drop > 0 then redis.call('HDEL', key, unpack(drop)) end

  if e.n then redis.call('ZREM', intents, e.n:sub(1, 16) .. id) end
  if e.x and e.x ~= x then unlist(e.x) end
  if x and (x ~= e.x or t or e.t) then index(x, t) end
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

  e.v, e.i, e.t, e.c, e.x, e.n, e.m, e.g, e.u = v, i, t, c, x, false, false, false, false
  settle(e)
end

-- look returns incarnation, ceiling and index values of the living record of another
-- session, nil when there is none.
local function look(id)
  local f = redis.call('HMGET', prefix .. 's:' .. id, 'v', 't', 'i', 'c', 'x')
  if f[1] and not (f[2] and now >= tonumber(f[2])) then
    return {i = f[3], c = f[4] or '', x = f[5] or ''}
  end
end
