-- Takes back the first step of a move, unless somebody came there by the
-- tombstone and confirmed it.
local id = ARGV[5] -- of the move

if not moveid or moveid ~= id then return {'conflict'} end
redis.call('DEL', key)
return {'live'}
