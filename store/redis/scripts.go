//go:build redis

package redis

import (
	"fmt"

	"github.com/redis/go-redis/v9"
)

// Every script works on one key, the session's hash, since a cluster may be
// moving the slot of that key while it runs. Arguments 1 to 4 and the reply's
// first word, the state of the session, are common to all:
//
//	live      it is there, and what was asked for is done
//	missing   no session is there
//	ended     the same, and the caller's lock is on the one that ended
//	astray    the same, and the caller's lock is not here
//	moved     a tombstone leads on; the handle follows
//	pending   a copy that a move made first; the handle that it was made of follows
//	expired   it is past its limits by the server's clock
//	corrupt   another program wrote there
//	busy      another process has the lock
//	lost      the caller's token is not that of the lock, or no longer
//	conflict  another version than expected is stored
//	late      the copy that a move made first may be gone by now
//	oversize  its data are larger than the caller reads; all but them follows
//	landed    this very change was stored before, and its answer lost
//	unknown   too many changes came after to tell
//
// A server whose memory is full refuses HSET, but not once the script has changed
// something. So what needs more memory than before begins with HSET, and what ends
// a session, or keeps its size, begins with a change that needs none.
const prelude = `
local key = KEYS[1]
local token, elsewhere = ARGV[1], ARGV[2] == '1'
local timeout, lifetime = tonumber(ARGV[3]), tonumber(ARGV[4]) -- ms, 0: none; s, -1: none
local LEASE, RIDS, RID = %d, %d, 16

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local f = redis.pcall('HMGET', key, 'version', 'created', 'accessed', 'user', 'rids',
	'lock', 'leased', 'ended', 'moved', 'until', 'pending', 'old', 'from')
local foreign = f.err ~= nil -- it is no hash
if foreign then f = {} end
local version, created, accessed, user, rids = tonumber(f[1] or ''), tonumber(f[2] or ''), tonumber(f[3] or ''), f[4] or '', f[5] or ''
local lock, leased, ended, moved, moveid = f[6], tonumber(f[7] or '') or 0, f[8], f[9], f[11]
local over = tonumber(f[10] or '') or 0
local mine = lock and lock == token
local held = lock and not mine and leased > now

local function text(n) return string.format('%%.0f', n) end

local function expired()
	return timeout > 0 and now - accessed > timeout or lifetime >= 0 and math.floor(now / 1000) - created > lifetime
end

-- state judges what is there; a snapshot asks for no lock.
local function state(snapshot)
	if foreign then return 'corrupt' end
	if moved and over > now then return 'moved' end
	if moveid then return 'pending' end
	if not snapshot then
		if held and not ended then return (token == '' or elsewhere) and 'busy' or 'lost' end
		if f[1] and token ~= '' and not mine and not elsewhere then return 'lost' end
	end
	if not f[1] then
		if mine then return ended and 'ended' or 'missing' end
		return token ~= '' and not elsewhere and 'astray' or 'missing'
	end
	if not (version and created and accessed) then return 'corrupt' end
	if expired() then return 'expired' end
	return 'live'
end

-- refused is the answer for what is in this state, and is not to be changed.
local function refused(s)
	return {s, s == 'moved' and moved or s == 'pending' and (f[13] or '') or text(now)}
end

-- expire has the server remove the session when the shorter of its limits is
-- over, but no lock while it is held.
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
-- the same.
local unmarked = false
local function mark()
	local made = math.min(created, math.floor(now / 1000))
	local done = redis.pcall('HSET', key, 'accessed', text(now), 'created', text(made))
	if type(done) == 'table' and done.err then
		for _, why in ipairs({'OOM', 'MISCONF', 'NOREPLICAS'}) do
			unmarked = unmarked or string.find(done.err, why, 1, true)
		end
		return not unmarked and done or nil
	end
	expire(now, made)
end

-- stir changes nothing, but so that WAIT has something to wait for: who finds
-- that a change was made before cannot tell whether a replica has it.
local function stir()
	redis.call('HDEL', key, 'stirred')
	redis.call('HSET', key, 'stirred', '1')
	redis.call('HDEL', key, 'stirred')
end

-- drop ends the session. The lock of the caller stays, and says so.
local function drop()
	redis.call('DEL', key)
	if mine then
		redis.call('HSET', key, 'lock', token, 'leased', text(now + LEASE), 'ended', '1')
		redis.call('PEXPIRE', key, LEASE)
	end
end

-- landed returns which version the change of this request made.
local function landed(rid)
	local at = rid ~= '' and string.find(rids, rid, 1, true)
	return at and version and version - math.floor((at - 1) / RID)
end

local function remember(rid) return string.sub(rid .. rids, 1, RIDS * RID) end
`

func script(body string) *redis.Script {
	return redis.NewScript(fmt.Sprintf(prelude, leaseTime.Milliseconds(), ridsKept) + body)
}

var (
	// readScript: how (snapshot, peek, touch, update) and the most bytes of data, rid.
	// These are two, since a server says NOAUTH only to ten words and less.
	readScript = script(`
local how, most = string.match(ARGV[5], '^(%a+) (%d+)$')
local s = state(how == 'snapshot')
if s == 'moved' or s == 'pending' then return refused(s) end
if how == 'update' then
	local at = landed(ARGV[6])
	if at then return {'landed', text(at)} end
	if s == 'expired' then drop() end
end
if s ~= 'live' then return refused(s) end
local size = redis.call('HSTRLEN', key, 'data')
if size == 0 then return {'corrupt', text(now)} end
if size > tonumber(most) then
	return {'oversize', text(now), f[1], f[2], f[3], user, text(size), '', f[12] or ''}
end
local data = redis.call('HGET', key, 'data')
if how == 'touch' or how == 'update' then
	local failed = mark()
	if failed then return failed end
end
return {s, text(now), f[1], f[2], f[3], user, data, unmarked and 'unmarked' or '', f[12] or ''}
`)

	// restoreScript: the access that update marked, the one before.
	restoreScript = script(`
if f[3] == ARGV[5] then
	redis.call('HSET', key, 'accessed', ARGV[6])
	expire(tonumber(ARGV[6]), created)
end
return {'live'}
`)

	// saveScript: expected version (0: create), rid, whether it is sent again,
	// created, user, data, whether the lock, which is elsewhere, is held, old,
	// whether a full server must store it too, if it is no larger than before.
	// A token alone creates nothing: it may be of a lock that was lost, and of a
	// session that another process ended since.
	saveScript = script(`
local expected, rid, again, made = tonumber(ARGV[5]), ARGV[6], ARGV[7] == '1', tonumber(ARGV[8])
local s = state(false)
local at = landed(rid)
if at then
	stir()
	return {'landed', text(at)}
end
if s == 'astray' and ARGV[11] == '1' then s = 'missing' end
if s == 'missing' and expected == 0 then
	version, rids = 0, ''
elseif s ~= 'live' then
	return refused(s)
elseif version ~= expected then
	if again and version - expected > RIDS then return {'unknown'} end
	return {'conflict'}
end
made = math.min(made, math.floor(now / 1000))
if ARGV[13] == '1' and #ARGV[10] <= redis.call('HSTRLEN', key, 'data') then redis.call('HDEL', key, 'data') end
redis.call('HSET', key, 'version', text(version + 1), 'created', text(made), 'accessed', text(now),
	'user', ARGV[9], 'data', ARGV[10], 'rids', remember(rid), 'old', ARGV[12])
redis.call('HDEL', key, 'moved', 'until', 'ended')
if not mine then
	redis.call('HDEL', key, 'lock', 'leased')
elseif version == 0 then
	leased = now + LEASE
	redis.call('HSET', key, 'leased', text(leased))
end
expire(now, made)
return {'live', text(version + 1)}
`)

	// removeScript: expected version.
	removeScript = script(`
local s = state(false)
if s == 'live' and version ~= tonumber(ARGV[5]) then return {'conflict'} end
if s == 'live' or s == 'expired' or s == 'missing' and mine then -- or one to come
	drop()
elseif s == 'missing' or s == 'astray' or s == 'ended' then
	stir()
end
return refused(s)
`)

	// endScript: nothing more. It asks for no lock, and ends nothing but a session.
	endScript = script(`
if foreign then return {'corrupt'} end
if not f[1] then -- a tombstone has no version
	stir()
	return {'missing'}
end
redis.call('DEL', key)
return {'live'}
`)

	// forgetScript removes what a move left: a tombstone to this handle, or a copy of
	// this move.
	forgetScript = script(`
if moved ~= ARGV[5] and moveid ~= ARGV[5] then return {'missing'} end
redis.call('DEL', key)
return {'live'}
`)

	// purgeScript removes what is no session.
	purgeScript = redis.NewScript(`redis.call('DEL', KEYS[1]) return {'live'}`)

	// placeScript, the first step of a move, at the new key: move's id, how long
	// it lasts if that comes to nothing, version, created, user, data, rids, old
	// handle, old.
	placeScript = script(`
if redis.call('EXISTS', key) == 1 and moveid ~= ARGV[5] then return {'taken'} end
redis.call('HSET', key, 'version', ARGV[7], 'created', ARGV[8], 'accessed', text(now), 'user', ARGV[9],
	'data', ARGV[10], 'rids', ARGV[11], 'pending', ARGV[5], 'from', ARGV[12], 'old', ARGV[13])
if token ~= '' then redis.call('HSET', key, 'lock', token, 'leased', text(now + LEASE)) end
redis.call('PEXPIRE', key, ARGV[6])
return {'live'}
`)

	// leaveScript, the second step and the commit, at the old key: expected
	// version, new handle, when the grace is over (ms, 0: there is none), how long a
	// tombstone without grace is kept, until when the copy is there for sure (ms).
	leaveScript = script(`
if moved and moved == ARGV[6] then
	stir()
	return {'live'}
end
local s = state(false)
if s ~= 'live' then return refused(s) end
if version ~= tonumber(ARGV[5]) then return {'conflict'} end
if now > tonumber(ARGV[9]) then return {'late'} end
local ends, keep = tonumber(ARGV[7]), tonumber(ARGV[8])
redis.call('DEL', key)
redis.call('HSET', key, 'moved', ARGV[6], 'until', text(ends))
if mine then redis.call('HSET', key, 'lock', token) end
redis.call('PEXPIRE', key, text(math.max(ends - now, keep)))
return {'live'}
`)

	// confirmScript, the last step, at the new key.
	confirmScript = script(`
if not version then return {'missing'} end
redis.call('HDEL', key, 'pending', 'from')
expire(accessed, created)
return {'live'}
`)

	// undoScript takes back a first step, unless somebody came there by the
	// tombstone and confirmed it: move's id.
	undoScript = script(`
if not moveid or moveid ~= ARGV[5] then return {'conflict'} end
redis.call('DEL', key)
return {'live'}
`)

	// backScript takes back a second step, at the old key: new handle, version,
	// created, accessed, user, data, rids, old. It begins with DEL, so that a full
	// server gives back what it had.
	backScript = script(`
if not moved or moved ~= ARGV[5] then return {'conflict'} end
redis.call('DEL', key)
redis.call('HSET', key, 'version', ARGV[6], 'created', ARGV[7], 'accessed', ARGV[8], 'user', ARGV[9],
	'data', ARGV[10], 'rids', ARGV[11], 'old', ARGV[12])
if mine then
	leased = now + LEASE
	redis.call('HSET', key, 'lock', lock, 'leased', text(leased))
end
expire(tonumber(ARGV[8]), tonumber(ARGV[7]))
return {'live'}
`)

	// holdScript: whether a lock may be on a session to come, a new token, whether
	// the caller's old one, which is elsewhere, is held. A lock that is
	// there with the new token was taken by this request, and its answer lost.
	holdScript = script(`
if lock and lock == ARGV[6] then token, mine, held = lock, true, false end
local s = state(false)
if s == 'expired' then drop() end
if s == 'astray' and ARGV[7] == '1' then s = 'missing' end
if s ~= 'live' and not (s == 'missing' and ARGV[5] == '1') then return refused(s) end
leased = now + LEASE
lock = mine and token or ARGV[6]
redis.call('HSET', key, 'lock', lock, 'leased', text(leased))
redis.call('HDEL', key, 'moved', 'until', 'ended')
if s == 'live' then mark() else redis.call('PEXPIRE', key, LEASE) end
return {'live', lock}
`)

	// abandonedScript removes a copy that was made longer ago than any move takes: how
	// long (ms).
	abandonedScript = script(`
if not moveid or now - (accessed or 0) <= tonumber(ARGV[5]) then return {'live'} end
redis.call('DEL', key)
return {'live'}
`)

	// sweptScript leaves word of a sweep: fields and their values.
	sweptScript = redis.NewScript(`
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(ARGV))
return {'live'}
`)

	// whoseScript: nothing more. It tells whether the lock is the caller's, live or
	// of a session that ended, or lost, or gone with the session.
	whoseScript = script(`
if moved and lock == token then return {'moved', moved} end
if not mine then return {f[1] and 'lost' or 'gone'} end
return {ended and 'ended' or 'live'}
`)

	// foreignScript removes what is no session and was not used for longer than
	// the timeout. Where that is not known it has the server remove it by then.
	foreignScript = script(`
local s = state(true)
if s == 'live' or s == 'expired' or s == 'pending' or lock or moved then return {'live'} end
if accessed and now - accessed > timeout then
	redis.call('DEL', key)
	return {'expired'}
end
if redis.call('PTTL', key) < 0 then redis.call('PEXPIRE', key, timeout) end
return {'corrupt'}
`)

	// renewScript: nothing more.
	renewScript = script(`
if moved and lock == token then return {'moved', moved} end
if not mine then return {'lost'} end
redis.call('HDEL', key, 'leased')
redis.call('HSET', key, 'leased', text(now + LEASE))
local left = redis.call('PTTL', key)
if left >= 0 and left < LEASE then redis.call('PEXPIRE', key, LEASE) end
return {'live'}
`)

	// releaseScript: whether it is sent again.
	releaseScript = script(`
if moved and lock == token then return {'moved', moved} end
if not mine then return {ARGV[5] == '1' and not lock and 'live' or 'lost'} end
if f[1] then redis.call('HDEL', key, 'lock', 'leased', 'ended') else redis.call('DEL', key) end
return {'live'}
`)
)
