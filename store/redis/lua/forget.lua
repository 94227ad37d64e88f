-- Removes what a move left: the tombstone that leads to a handle, or a copy that is
-- still pending. missing: something else is there by now, or nothing.
local left = ARGV[5] -- that handle, or the id of the copy's move

if moved ~= left and moveid ~= left then return {'missing'} end
redis.call('DEL', key)
return {'live'}
