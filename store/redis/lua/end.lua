-- Ends the session whoever has the lock, and nothing but a session: a tombstone
-- has no version.
if foreign then return {'corrupt'} end
if not f[1] then
	stir()
	return {'missing'}
end
redis.call('DEL', key)
return {'live'}
