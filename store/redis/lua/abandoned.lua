-- Removes a copy that was made longer ago than any move takes; a copy's access is when
-- it was made. Replies live whether it did or not.
local longest = tonumber(ARGV[5]) -- ms

if not moveid or now - (accessed or 0) <= longest then return {'live'} end
redis.call('DEL', key)
return {'live'}
