// Package redis keeps sessions and login transactions in Redis, for any number of
// processes that share one server (or one primary with its replicas).
//
// # What "saved" means
//
// A call that succeeds has changed the server's memory, and lasts as that Redis is
// configured to last; this package adds nothing to that:
//
//   - appendonly yes, appendfsync always: it is on the server's disk before the call
//     returns, and survives a crash of the machine.
//   - appendfsync everysec: a crash of the machine loses up to about the last second, a crash
//     of redis-server alone nothing.
//   - snapshots only: everything since the last one goes with the process.
//   - replicas are behind: a failover loses what the new primary had not received.
//
// A refresh token that was lost in this way is lost: with rotation the session then ends at its
// next refresh. So choose appendfsync always where sessions must not be lost.
//
// # Promises, and their limits
//
// Each operation on a session is one script: its check and its write are one, and cost one
// round trip. A refresh is two of them: Begin, and an Update that gives the lease back. Operations on
// many sessions go in pages.
// Leases, TTLs, tombstones and claims are judged by the server's wall clock, so the
// clocks of the clients do not matter; where the server's clock is set forward, they lapse
// early. Lease epochs never go back while the server keeps its data or its clock goes
// forward. After a failover that lost writes to a machine whose clock is behind by more
// than those writes, an epoch may be given again; and a lease that went with them may be
// given to a second owner while the first still believes in it. What both then write is still decided
// by the version of the record.
//
// Nothing that may have taken effect is sent a second time: an Update that was, and was
// repeated, would look like a conflict, and a repeated Replace or Delete could undo what another process
// did in between. So a call whose connection broke fails, and may have taken effect.
// While a server is out of reach, or hangs, calls end when their contexts do; what they
// had sent may take effect later, should the server go on.
//
// # Failover
//
// New takes the client of Sentinel that a host has made by NewFailoverClient or NewUniversalClient, and asks the sentinels for the primary
// whenever it connects. With Open the URL must lead to the new primary, by a name that moves or a proxy.
// A server that takes no writes any more is left at the first write it refuses. Which promises a failover can break, and what
// helps, says docs/reliability.md.
//
// Redis must not evict keys: set maxmemory-policy noeviction. Out of memory, logins and
// refreshes then fail, and sessions can still end.
//
// Redis Cluster is refused, and so are a Ring and a client of replicas: its indexes over all sessions, which back-channel logout and
// ceilings need, would lie on other nodes than the sessions, and no script spans nodes.
//
// # Permissions
//
// A user needs no more than this rule gives, where the prefix is the default:
//
//	ACL SETUSER tokenward on >PASSWORD ~tokenward:* &tokenward:* -@all +ping
//	  +eval +evalsha +script|load +subscribe +publish +time +get +set +del +getdel +persist +pexpireat
//	  +hget +hset +hmget +hdel +zadd +zrem +zscore +zcard +zscan +zrange +zrangebyscore +zrangebylex
//
// and +select where the URL names another database than 0. Where one of these commands is refused,
// Open fails with an OpenError that names it (SUBSCRIBE: Watch, with an Error). INFO, which Redis
// counts as dangerous, is worth allowing too: without it nothing warns of eviction or of a server
// without persistence, and a Watch may miss that the server was a replica for less than two pings.
package redis
