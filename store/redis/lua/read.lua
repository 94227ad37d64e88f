-- Reads the session. touch and update mark the access; update ends a session past its
-- limits, and finds a change that was stored before.
--
-- The reply after live: now in Unix ms, version, created, accessed before this access,
-- user, data, a word if the access could not be marked, old keys, cookie name, note.
-- After oversize the size stands in place of the data.
--
-- The first argument holds three values, since a server says NOAUTH only to a request of
-- at most ten words, and else drops the connection: snapshot, peek, touch or update; the
-- most bytes of data; the cookie name.
local how, most, cookie = string.match(ARGV[5], '^(%a+) (%d+) ?(.*)$')
local rid = ARGV[6] -- of the change that an update belongs to; empty: none

local s = status(how == 'snapshot')
if s == 'moved' or s == 'pending' then return refused(s) end
if how == 'update' then
	local at = landed(rid)
	if at then return {'landed', text(at)} end
	if s == 'expired' then drop() end
end
if s ~= 'live' then return refused(s) end
local size = redis.call('HSTRLEN', key, 'data')
if size == 0 then return {'corrupt', text(now)} end
if size > tonumber(most) then
	return {'oversize', text(now), f[1], f[2], f[3], user, text(size), '',
		f[12] or '', f[14] or '', f[15] or ''}
end
local data = redis.call('HGET', key, 'data')
if how == 'touch' or how == 'update' then
	local failed = mark(cookie)
	if failed then return failed end
end
return {s, text(now), f[1], f[2], f[3], user, data, unmarked and 'unmarked' or '',
	f[12] or '', f[14] or '', f[15] or ''}
