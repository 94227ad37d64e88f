-- Ends the session of the expected version, or the lock on one to come. A session past
-- its limits is ended whatever its version is. The reply is what was there before.
local expected = tonumber(ARGV[5]) -- version

local s = status(false)
if s == 'live' and version ~= expected then return {'conflict'} end
if s == 'live' or s == 'expired' or s == 'missing' and mine then
	drop()
elseif s == 'missing' or s == 'nolock' or s == 'ended' then
	stir()
end
return refused(s)
