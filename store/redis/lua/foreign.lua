-- Removes what is no session and was not used for longer than the timeout (expired).
-- Anything else that is no session is left (corrupt), but the server is told to remove
-- it when the timeout is over. Without a timeout nothing is removed.
local s = status(true)
if timeout == 0 or s == 'live' or s == 'expired' or s == 'pending' or lock or moved then return {'live'} end
if accessed and now - accessed > timeout then
	redis.call('DEL', key)
	return {'expired'}
end
if redis.call('PTTL', key) < 0 then redis.call('PEXPIRE', key, timeout) end
return {'corrupt'}
