-- init: empties the queue. Live workers stay registered, and find that they hold nothing.
--
-- ARGV  1 '1' to do it although tasks run
-- Answer {'running', n} and nothing is changed, or {'ok', tasks that were there}. Keys named after
--       references, loads and objects (dependants:*, open:*, object:*, object_part:*) are removed by the
--       caller, who can scan.

local running = call('HLEN', RUNNING)
if running > 0 and ARGV[1] ~= '1' then return {'running', running} end

local tasks = call('HLEN', TASK)
for _, shape in ipairs(call('ZRANGE', SHAPE, 0, -1)) do call('UNLINK', list_key(shape)) end
for _, worker in ipairs(call('SMEMBERS', WORKERS)) do
    call('UNLINK', held_key(worker), cancel_key(worker))
    call('HDEL', worker_key(worker), 'request', 'claimed')
    if not call('ZSCORE', LEASE, worker) then
        call('UNLINK', worker_key(worker))
        call('SREM', WORKERS, worker)
    elseif running > 0 then
        notify(worker)
    end
end
for _, digest in ipairs(call('ZRANGE', FAMILIES, 0, -1)) do call('UNLINK', family_key(digest)) end
call('UNLINK', TASK, TRY, OUTPUT, OUTPUT_ORDER, SHAPE, DELAYED_KEY, RUNNING, COUNT, NAME, AFTER, AWAIT,
     FANOUT, FINISHED_KEY, FAILED_KEY, AVOID, LOAD, RESERVE, NEED, FAMILIES)
return {'ok', tasks}
