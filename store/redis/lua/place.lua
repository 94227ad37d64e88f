-- Makes the first step of a move, at the new key: a copy that is pending. It has the
-- caller's lock, too. A copy of the same move is written anew.
local id = ARGV[5]    -- of the move
local keep = ARGV[6]  -- how long the copy lasts unless the move is made, ms
local new, made, name, data, ids = ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11] -- version; created, s
local from = ARGV[12] -- the old handle
local old = ARGV[13]  -- the old keys
local cookie, note = ARGV[14], ARGV[15]

if redis.call('EXISTS', key) == 1 and moveid ~= id then return {'taken'} end
redis.call('HSET', key, 'version', new, 'created', made, 'accessed', text(now), 'user', name,
	'data', data, 'rids', ids, 'pending', id, 'from', from, 'old', old,
	'cookie_name', cookie, 'note', note)
if token ~= '' then redis.call('HSET', key, 'lock', token, 'leased', text(now + LEASE)) end
redis.call('PEXPIRE', key, keep)
return {'live'}
