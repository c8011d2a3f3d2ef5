-- expel: forgets workers whose lease has ended and that hold nothing any more.
--
-- ARGV  names   Answer how many were forgotten

even_when_full()
local forgotten = 0
for _, worker in ipairs(ARGV) do
    if not call('ZSCORE', LEASE, worker) and call('EXISTS', held_key(worker)) == 0 then
        call('DEL', worker_key(worker), cancel_key(worker))
        call('ZREM', IDLE, worker)
        forgotten = forgotten + call('SREM', WORKERS, worker)
    end
end
return forgotten
