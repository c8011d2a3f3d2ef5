-- register: a worker comes, or its agent is back.
--
-- ARGV  1 worker   2 incarnation (of the supervisor)   3 previous: the incarnation that held the same
--       state_dir before, which is dead since its lock is ours; '' for none
--       4 lease_ms   5 info (JSON: host, pid, boot, cores, memory, ...; opaque)   6 max_losses
-- Answer {'ok'}; {'again'}: an old incarnation's tasks are being freed, call again;
--       {'taken', info, ms}: another live worker has that name, ms is the age of its last report

even_when_full()
local worker, incarnation, previous = ARGV[1], ARGV[2], ARGV[3]
local lease_ms, info, max_losses = tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6])

local old = call('HMGET', worker_key(worker), 'incarnation', 'info', 'report')
if old[1] and old[1] ~= incarnation then
    local deadline = call('ZSCORE', LEASE, worker)
    if old[1] ~= previous and deadline and tonumber(deadline) > NOW then
        return {'taken', old[2] or '', NOW - tonumber(old[3] or NOW)}
    end
    if holders().lose_some(worker, max_losses, 'the worker was started anew') then return {'again'} end
    call('DEL', cancel_key(worker))
    call('HDEL', worker_key(worker), 'request', 'claimed', 'room', 'state', 'stats', 'want')
end
call('HSET', worker_key(worker), 'incarnation', incarnation, 'info', info, 'lease', lease_ms,
     'report', NOW)
call('HSETNX', worker_key(worker), 'want', 'run') -- an agent that comes back finds itself drained still
call('HDEL', worker_key(worker), 'state')
call('SADD', WORKERS, worker)
call('ZADD', LEASE, NOW + lease_ms, worker)
call('HSET', COUNT, 'renewed', NOW)
call('HDEL', COUNT, 'away')
flush()
return {'ok'}
