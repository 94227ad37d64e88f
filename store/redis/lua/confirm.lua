-- Makes the last step of a move, at the new key: the copy is the session.
if not version then return {'missing'} end
redis.call('HDEL', key, 'pending', 'from')
expire(accessed, created)
return {'live'}
