-- Takes back the second step of a move, at the old key: the session is there again, as
-- it was, under the caller's lock if it had one. conflict: no tombstone leads to this
-- handle any more. It begins with DEL, so that a full server takes the rest.
local to = ARGV[5] -- the new handle
local was, made, used = ARGV[6], ARGV[7], ARGV[8] -- version; created, s; accessed, ms
local name, data, ids, old, cookie, note = ARGV[9], ARGV[10], ARGV[11], ARGV[12], ARGV[13], ARGV[14]

if not moved or moved ~= to then return {'conflict'} end
redis.call('DEL', key)
redis.call('HSET', key, 'version', was, 'created', made, 'accessed', used, 'user', name,
	'data', data, 'rids', ids, 'old', old, 'cookie_name', cookie, 'note', note)
if mine then
	leased = now + LEASE
	redis.call('HSET', key, 'lock', lock, 'leased', text(leased))
end
expire(tonumber(used), tonumber(made))
return {'live'}
