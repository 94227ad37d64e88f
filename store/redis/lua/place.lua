-- Makes the first step of a move, at the new key: a copy that is pending.
local id, keep = ARGV[5], ARGV[6] -- of the move; how long the copy lasts unless the move is made, ms
local newVersion, made, name, data, newRids, old = ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11], ARGV[13]
local from = ARGV[12] -- the old handle

if redis.call('EXISTS', key) == 1 and moveid ~= id then return {'taken'} end
redis.call('HSET', key, 'version', newVersion, 'created', made, 'accessed', text(now), 'user', name,
	'data', data, 'rids', newRids, 'pending', id, 'from', from, 'old', old)
if token ~= '' then redis.call('HSET', key, 'lock', token, 'leased', text(now + LEASE)) end
redis.call('PEXPIRE', key, keep)
return {'live'}
