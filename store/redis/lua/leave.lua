-- Makes the second step of a move and the commit, at the old key: a tombstone.
local expected, to = tonumber(ARGV[5]), ARGV[6]     -- version; the new handle
local ends, keep = tonumber(ARGV[7]), tonumber(ARGV[8]) -- of the grace, Unix ms, 0: none; how long a tombstone without it is kept, ms
local latest = tonumber(ARGV[9])                    -- until when the copy is there for sure, Unix ms

if moved and moved == to then
	stir()
	return {'live'}
end
local s = state(false)
if s ~= 'live' then return refused(s) end
if version ~= expected then return {'conflict'} end
if now > latest then return {'late'} end
redis.call('DEL', key)
redis.call('HSET', key, 'moved', to, 'until', text(ends))
if mine then redis.call('HSET', key, 'lock', token) end
redis.call('PEXPIRE', key, text(math.max(ends - now, keep)))
return {'live'}
