-- register: a worker comes, its agent is back, or has another connection.
--
-- ARGV  1 worker   2 incarnation (of the supervisor)   3 session, drawn for this very call: what is asked
--       under an older one is refused from now on
--       4 dead: 'INCARNATION.MS INCARNATION.MS ...' that held the same state_dir before us. We have its
--       lock, so they are dead: for sure (MS 0), or unless state_dir is a copy and its owner lives elsewhere:
--       then the true one has said nothing for MS, since this machine was started
--       5 lease_ms   6 info (JSON: host, pid, boot, cores, memory, ...; opaque)   7 max_losses
-- Answer {'ok'}; {'again'}: an old incarnation's tasks are being freed, call again;
--       {'taken', info, ms}: another live worker has that name, ms is the age of its last report

even_when_full()
local worker, incarnation, session, dead = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local lease_ms, info, max_losses = tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7])

local function is_dead(other, report)
    for life, silent_ms in string.gmatch(dead, '(%w+)%.(%d+)') do
        if life == other then return silent_ms == '0' or NOW - report >= tonumber(silent_ms) end
    end
    return false
end

local old = call('HMGET', worker_key(worker), 'incarnation', 'info', 'report')
if old[1] and old[1] ~= incarnation then
    local deadline, report = call('ZSCORE', LEASE, worker), tonumber(old[3] or NOW)
    if deadline and tonumber(deadline) > NOW and not is_dead(old[1], report) then
        return {'taken', old[2] or '', NOW - report}
    end
    if holders().lose_some(worker, max_losses, 'the worker was started anew') then return {'again'} end
    call('DEL', cancel_key(worker))
    call('HDEL', worker_key(worker), 'request', 'claimed', 'room', 'state', 'stats', 'want', 'failing')
end
call('HSET', worker_key(worker), 'incarnation', incarnation, 'session', session, 'info', info, 'lease',
     lease_ms, 'report', NOW)
call('HSETNX', worker_key(worker), 'want', 'run') -- an agent that comes back finds itself drained still
call('HDEL', worker_key(worker), 'state')
call('SADD', WORKERS, worker)
call('ZADD', LEASE, NOW + lease_ms, worker)
renewed_now(lease_ms)
flush()
return {'ok'}
