-- Begins every script that works on a session. Each works on one key, the
-- session's hash, since the keys of two sessions may be on two servers of a cluster.
-- The comment of the Go package lists the fields of the hash.
--
-- A script either does its work, or changes nothing and replies why; that a session
-- past its limits is ended on the way is the only exception. All time is the server's.
--
-- Go puts one line before this file, with the numbers that both sides know:
--
--	LEASE  how long a lock lasts that is not renewed, ms
--	RIDS   how many request ids are kept with a session
--	RID    how many characters an id has
--
-- The reply is a list of strings. The first is the status. In a reply of the function
-- refused, the server's time in Unix ms follows, if it is not a handle:
--
--	live      the session is there, and what was asked for is done
--	missing   no session is there
--	ended     none is there, and the caller's lock is on the one that ended
--	nolock    none is there, and the caller's lock is not here
--	moved     a tombstone is there; its new handle follows
--	pending   a copy made by the first step of a move; the old handle follows
--	expired   the session is past its limits by the server's clock
--	corrupt   another program wrote there
--	busy      another process has the lock
--	lost      the caller's token does not have the lock, or no longer
--	gone      neither a session is there nor the caller's lock (whose.lua)
--	taken     something is at the new handle of a move (place.lua)
--	conflict  another version than expected is stored
--	late      the copy that a move made first may be gone by now
--	oversize  its data are larger than the caller reads; all but them follows
--	landed    this very change was stored before, and its answer lost; the version
--	          that it made follows
--	unknown   an answer was lost, and too many changes came after to tell
--
-- A server whose memory is full refuses HSET, but not once the script has changed
-- something. So a script that needs more memory than before begins with HSET; one
-- that ends a session, or keeps its size, begins with a change that needs none.

local key = KEYS[1]                 -- of the session
local token = ARGV[1]               -- of the caller's lock; empty: none
local elsewhere = ARGV[2] == '1'    -- the token may be of another session
local timeout = tonumber(ARGV[3])   -- ms; 0: none
local lifetime = tonumber(ARGV[4])  -- s; -1: none

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local f = redis.pcall('HMGET', key, 'version', 'created', 'accessed', 'user', 'rids',
	'lock', 'leased', 'ended', 'moved', 'until', 'pending', 'old', 'from', 'cookie_name', 'note')
local foreign = f.err ~= nil -- it is no hash
if foreign then f = {} end
local created, accessed = tonumber(f[2] or ''), tonumber(f[3] or '')
local user, rids = f[4] or '', f[5] or ''
local lock, leased, ended = f[6], tonumber(f[7] or '') or 0, f[8]
local moved, over, moveid = f[9], tonumber(f[10] or '') or 0, f[11]
local mine = lock and lock == token              -- the caller has the lock
local held = lock and not mine and leased > now  -- another process has it

-- text returns a whole number as Redis is to store it: Lua's own text of a large one
-- has an exponent.
local function text(n) return string.format('%.0f', n) end

-- countable returns the version that a text holds; nil: it holds none. Lua's numbers count by
-- ones up to 2^53, so a higher version could not grow.
local MOST = 2^53
local function countable(t)
	local n = string.find(t, '^%d+$') and tonumber(t)
	return n and n > 0 and n < MOST and n or nil
end
local version = countable(f[1] or '')

-- expired reports whether the session is past a limit.
local function expired()
	return timeout > 0 and now - accessed > timeout or lifetime >= 0 and math.floor(now / 1000) - created > lifetime
end

-- status returns the status of what is there. A snapshot asks for no lock.
local function status(snapshot)
	if foreign then return 'corrupt' end
	if moved and over > now then return 'moved' end
	if moveid then return 'pending' end
	if not snapshot then
		if held and not ended then return (token == '' or elsewhere) and 'busy' or 'lost' end
		if f[1] and token ~= '' and not mine and not elsewhere then return 'lost' end
	end
	if not f[1] then
		if mine then return ended and 'ended' or 'missing' end
		return token ~= '' and not elsewhere and 'nolock' or 'missing'
	end
	if not (version and created and accessed) then return 'corrupt' end
	if expired() then return 'expired' end
	return 'live'
end

-- refused returns the reply to a caller that gets a status and no more.
local function refused(s)
	return {s, s == 'moved' and moved or s == 'pending' and (f[13] or '') or text(now)}
end

-- expire has the server remove the session when the shorter of its limits is
-- over, but no lock while it is held. used is the last access, Unix ms; made is when
-- the session was created, Unix s.
local function expire(used, made)
	local left
	if timeout > 0 then left = used + timeout - now end
	if lifetime >= 0 then
		local absolute = (made + lifetime + 1) * 1000 - now
		if not left or absolute < left then left = absolute end
	end
	if not left then return redis.call('PERSIST', key) end
	if lock and leased - now > left then left = leased - now end
	redis.call('PEXPIRE', key, text(math.max(left, 1)))
end

-- mark notes the access. A server whose memory is full, or that cannot save its
-- own files, takes no changes; then unmarked is set, and the session is read all
-- the same. Any other error is returned. created is put right if a server's clock
-- was ahead when it was noted. A user's session without a cookie name gets this one,
-- if there is one.
local unmarked = false
local function mark(cookie)
	local made = math.min(created, math.floor(now / 1000))
	local fields = {'accessed', text(now), 'created', text(made)}
	if user ~= '' and (f[14] or '') == '' and (cookie or '') ~= '' then
		fields[5], fields[6] = 'cookie_name', cookie
	end
	local done = redis.pcall('HSET', key, unpack(fields))
	if type(done) == 'table' and done.err then
		for _, why in ipairs({'OOM', 'MISCONF', 'NOREPLICAS'}) do
			unmarked = unmarked or string.find(done.err, why, 1, true)
		end
		return not unmarked and done or nil
	end
	expire(now, made)
end

-- stir writes without a change, so that WAIT has something to wait for: a script
-- that finds its change made before cannot tell whether a replica has it. It begins
-- with HDEL, so that a full server takes the rest.
local function stir()
	redis.call('HDEL', key, 'stirred')
	redis.call('HSET', key, 'stirred', '1')
	redis.call('HDEL', key, 'stirred')
end

-- drop ends the session. The caller's lock stays for a lease, marked as ended: so
-- the caller's next call can tell that from a lock that was lost.
local function drop()
	redis.call('DEL', key)
	if mine then
		redis.call('HSET', key, 'lock', token, 'leased', text(now + LEASE), 'ended', '1')
		redis.call('PEXPIRE', key, LEASE)
	end
end

-- landed returns the version that this request's change made; nil: none is known.
local function landed(rid)
	local at = rid ~= '' and string.find(rids, rid, 1, true)
	return at and version and version - math.floor((at - 1) / RID)
end

-- remember returns rids with this request's id, without the oldest ones.
local function remember(rid) return string.sub(rid .. rids, 1, RIDS * RID) end
