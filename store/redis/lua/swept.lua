-- Stores what describes a sweep, in place of the last: ARGV are fields and their values.
-- This script has no prelude.
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(ARGV))
return {'live'}
