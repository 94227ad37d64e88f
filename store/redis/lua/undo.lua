-- Takes back the first step of a move: removes the copy. conflict: another call came
-- there by the tombstone and confirmed it, so it is the session.
local id = ARGV[5] -- of the move

if not moveid or moveid ~= id then return {'conflict'} end
redis.call('DEL', key)
return {'live'}
