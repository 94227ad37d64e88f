-- Ends the session, or the lock on one to come.
local expected = tonumber(ARGV[5]) -- version

local s = state(false)
if s == 'live' and version ~= expected then return {'conflict'} end
if s == 'live' or s == 'expired' or s == 'missing' and mine then
	drop()
elseif s == 'missing' or s == 'nolock' or s == 'ended' then
	stir()
end
return refused(s)
