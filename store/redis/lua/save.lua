-- Stores the session as its next version, and replies with that. conflict: another
-- version than expected is there. Sent again, it finds its own request id (landed).
--
-- A token alone creates nothing: its lock may be lost, and another process may
-- have ended the session since. That the lock is held on another session, the
-- caller has found out before and says.
local expected = tonumber(ARGV[5]) -- version; 0: create
local rid = ARGV[6]
local retry = ARGV[7] == '1'
local made = tonumber(ARGV[8])     -- created, s
local name = ARGV[9]               -- of the user
local data = ARGV[10]
local beside = ARGV[11] == '1'     -- the caller's lock is held on another session
local old = ARGV[12]               -- the old keys
local wipe = ARGV[13] == '1'       -- a full server stores it too, if it is no larger than before
local cookie, note = ARGV[14], ARGV[15]

local s = status(false)
local at = landed(rid)
if at then
	stir()
	return {'landed', text(at)}
end
if s == 'nolock' and beside then s = 'missing' end
if s == 'missing' and expected == 0 then
	version, rids = 0, ''
elseif s ~= 'live' then
	return refused(s)
elseif version ~= expected then
	if retry and version - expected > RIDS then return {'unknown'} end
	return {'conflict'}
end
if version + 1 >= MOST then return {'corrupt', text(now)} end
made = math.min(made, math.floor(now / 1000))
if wipe and #data <= redis.call('HSTRLEN', key, 'data') then redis.call('HDEL', key, 'data') end
redis.call('HSET', key, 'version', text(version + 1), 'created', text(made), 'accessed', text(now),
	'user', name, 'data', data, 'rids', remember(rid), 'old', old, 'cookie_name', cookie, 'note', note)
redis.call('HDEL', key, 'moved', 'until', 'ended')
if not mine then
	redis.call('HDEL', key, 'lock', 'leased')
elseif version == 0 then
	leased = now + LEASE
	redis.call('HSET', key, 'leased', text(leased))
end
expire(now, made)
return {'live', text(version + 1)}
