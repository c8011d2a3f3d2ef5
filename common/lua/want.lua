-- want: tells workers to run, drain (finish what runs, claim nothing) or stop (drain, then leave).
--
-- ARGV  1 'run', 'drain' or 'stop'   then names
-- Answer for each name 'ok', 'lost' (its lease has ended) or 'unknown'

even_when_full()
local answer = {}
for i = 2, #ARGV do
    local worker = ARGV[i]
    if call('EXISTS', worker_key(worker)) == 0 then
        answer[i - 1] = 'unknown'
    else
        call('HSET', worker_key(worker), 'want', ARGV[1])
        if ARGV[1] ~= 'run' then call('ZREM', IDLE, worker) end
        notify(worker)
        answer[i - 1] = call('ZSCORE', LEASE, worker) and 'ok' or 'lost'
    end
end
return answer
