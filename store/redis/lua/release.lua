-- Releases the caller's lock; without a session nothing is left then. After a move the
-- tombstone leads to the lock.
local retry = ARGV[5] == '1' -- an earlier try may have released it

if moved and lock == token then return {'moved', moved} end
if not mine then return {retry and not lock and 'live' or 'lost'} end
if f[1] then redis.call('HDEL', key, 'lock', 'leased', 'ended') else redis.call('DEL', key) end
return {'live'}
