-- Makes the second step of a move and the commit, at the old key: a tombstone, which
-- keeps the caller's lock so that its lease finds the new key. If it is there already,
-- the answer to an earlier request was lost.
local expected = tonumber(ARGV[5]) -- version
local to = ARGV[6]                 -- the new handle
local ends = tonumber(ARGV[7])     -- when the grace is over, Unix ms; 0: there is none
local keep = tonumber(ARGV[8])     -- how long a tombstone without a grace is kept, ms
local latest = tonumber(ARGV[9])   -- until when the copy is there for sure, Unix ms

if moved and moved == to then
	stir()
	return {'live'}
end
local s = status(false)
if s ~= 'live' then return refused(s) end
if version ~= expected then return {'conflict'} end
if now > latest then return {'late'} end
redis.call('DEL', key)
redis.call('HSET', key, 'moved', to, 'until', text(ends))
if mine then redis.call('HSET', key, 'lock', token) end
redis.call('PEXPIRE', key, text(math.max(ends - now, keep)))
return {'live'}
