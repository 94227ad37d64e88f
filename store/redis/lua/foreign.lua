-- Removes what is no session and was not used for longer than the timeout. Where
-- its last use is not known, it has the server remove it by then. Without a timeout
-- it removes nothing.
local s = state(true)
if timeout == 0 or s == 'live' or s == 'expired' or s == 'pending' or lock or moved then return {'live'} end
if accessed and now - accessed > timeout then
	redis.call('DEL', key)
	return {'expired'}
end
if redis.call('PTTL', key) < 0 then redis.call('PEXPIRE', key, timeout) end
return {'corrupt'}
