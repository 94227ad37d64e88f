-- Ends the session, also if another process has the lock. What is no session stays: a
-- tombstone and a lock have no version.
if foreign then return {'corrupt'} end
if not f[1] then
	stir()
	return {'missing'}
end
redis.call('DEL', key)
return {'live'}
