-- close: ends a load; names that are complete by now release what waits for them.
--
-- ARGV  1 load
-- Answer how many names are still to be looked at: call again until 0

local load = tonumber(ARGV[1])
call('ZREM', LOAD, format('%d', load))
local names = call('SPOP', open_key(load), BATCH)
for _, name in ipairs(names) do
    local g = groups().group(name)
    -- When another load brings tasks of this name too, it is in that one's set.
    if g.known and g.pending == 0 and not groups().group_open(g) then
        end_ref('n:' .. name, g.failed + g.cancelled == 0)
    end
end
fan_out()
flush()
return call('SCARD', open_key(load))
