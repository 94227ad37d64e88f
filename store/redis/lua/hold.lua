-- Takes the lock, or renews the caller's own, and replies with its token. A session past
-- its limits is ended on the way. A lock with the new token was taken by this very
-- request, whose answer was lost.
local create = ARGV[5] == '1' -- it may be on a session to come
local new = ARGV[6]           -- token
local beside = ARGV[7] == '1' -- the caller's lock is held on another session

if lock and lock == new then token, mine, held = lock, true, false end
local s = status(false)
if s == 'expired' then drop() end
if s == 'nolock' and beside then s = 'missing' end
if s ~= 'live' and not (s == 'missing' and create) then return refused(s) end
leased = now + LEASE
lock = mine and token or new
redis.call('HSET', key, 'lock', lock, 'leased', text(leased))
redis.call('HDEL', key, 'moved', 'until', 'ended')
if s == 'live' then mark() else redis.call('PEXPIRE', key, LEASE) end
return {'live', lock}
