-- Removes what is no session. This script has no prelude.
redis.call('DEL', KEYS[1])
return {'live'}
