-- Removes whatever is at the key; the caller has found that it is no session. This
-- script has no prelude.
redis.call('DEL', KEYS[1])
return {'live'}
