-- begin: opens a load of several batches. Names it brings stay open, so that what waits for them does
-- not start before the last task of the load is in.
--
-- Answer load id: Redis time in ms, larger than any before it

local load = max(NOW, tonumber(call('HGET', COUNT, 'load') or 0) + 1)
call('HSET', COUNT, 'load', format('%d', load))
call('ZADD', LOAD, NOW, format('%d', load))
return load
