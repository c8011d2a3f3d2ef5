-- requeue: takes running tasks from their workers and puts them back to todo. A worker ends its copy
-- when it is told so, and its report is answered `stale`.
--
-- ARGV  ids   Answer {queued, skipped}

local heads = fetch(ARGV)
local changed, workers = 0, {}
for i = 1, #ARGV do
    local id, h = ARGV[i], heads[i]
    if h and h.state == IN_PROGRESS then
        changed = changed + 1
        local worker = call('HGET', RUNNING, id)
        if worker then
            release_hold(id, worker)
            workers[worker] = true
        end
        h.flags = without_flag(h.flags, FLAG_CANCEL)
        h.tries = h.tries % 65535 + 1 -- the worker that still runs it must not take it back
        to_todo(id, h)
    end
end
flush()
for worker in pairs(workers) do notify(worker) end
return {changed, #ARGV - changed}
