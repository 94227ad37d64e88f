-- Replies whether the lock is the caller's: live, or ended with its session under the
-- lock, or lost, or gone: there is neither the lock nor a session. It changes nothing.
if moved and lock == token then return {'moved', moved} end
if not mine then return {f[1] and 'lost' or 'gone'} end
return {ended and 'ended' or 'live'}
