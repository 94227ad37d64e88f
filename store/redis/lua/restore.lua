-- Takes back the mark of an access, unless there was another meanwhile.
local marked, before = ARGV[5], ARGV[6] -- this access and the one before, Unix ms

if f[3] == marked then
	redis.call('HSET', key, 'accessed', before)
	expire(tonumber(before), created)
end
return {'live'}
