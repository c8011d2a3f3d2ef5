-- health: how the other workers fare, for one whose tries all fail at once: is it its machine, or the tasks?
--
-- ARGV  1 worker   2 how many failed tries in a row make a worker one of those whose tries all fail
-- Answer {finished, hope}: tries that others have finished so far (compare two answers: initRedis sets it
--       back); 1 if some other live worker, as far as it is known, could finish what fails here, else 0

local worker, many = ARGV[1], tonumber(ARGV[2])
local LOOKED_AT = 100 -- of the live workers, those that have not renewed for longest

local todo = tonumber(call('HGET', COUNT, 'todo') or 0)

-- One that is idle although there is work has seen that it cannot take it.
local function could_finish(other)
    local it = call('HMGET', worker_key(other), 'want', 'failing')
    if it[1] ~= 'run' or tonumber(it[2] or 0) >= many then return false end
    local idle = todo > 0 and call('ZSCORE', IDLE, other)
    return not idle or tonumber(idle) < 0
end

local hope = 0
for _, other in ipairs(call('ZRANGEBYSCORE', LEASE, NOW, '+inf', 'LIMIT', 0, LOOKED_AT)) do
    if other ~= worker and could_finish(other) then
        hope = 1
        break
    end
end
local mine = tonumber(call('HGET', worker_key(worker), 'finished') or 0)
return {tonumber(call('HGET', COUNT, 'tries_finished') or 0) - mine, hope}
