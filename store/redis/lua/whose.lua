-- Tells whether the lock is the caller's: live, or ended with its session, or
-- lost, or gone with the session.
if moved and lock == token then return {'moved', moved} end
if not mine then return {f[1] and 'lost' or 'gone'} end
return {ended and 'ended' or 'live'}
