-- Makes the last step of a move, at the new key: the copy is the session, and gets its
-- limits. Made twice, it changes nothing. missing: the copy was undone, or has ended.
if not version then return {'missing'} end
redis.call('HDEL', key, 'pending', 'from')
expire(accessed, created)
return {'live'}
