-- Renews the caller's lock, and keeps the key for as long. It begins with HDEL, so that
-- a full server takes it. After a move the tombstone leads to the lock.
if moved and lock == token then return {'moved', moved} end
if not mine then return {'lost'} end
redis.call('HDEL', key, 'leased')
redis.call('HSET', key, 'leased', text(now + LEASE))
local left = redis.call('PTTL', key)
if left >= 0 and left < LEASE then redis.call('PEXPIRE', key, LEASE) end
return {'live'}
