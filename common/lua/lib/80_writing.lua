-- writing: flush().

flush = function()
    if #writes > 0 then
        call_many('HSET', TASK, writes, 2)
        writes, written = {}, {}
    end
    if #finished_ids > 0 then
        call_many('RPUSH', FINISHED_KEY, finished_ids, 1)
        finished_ids = {}
    end
    if #failed_remove > 0 then
        call_many('SREM', FAILED_KEY, failed_remove, 1)
        failed_remove = {}
    end
    if #failed_add > 0 then
        call_many('SADD', FAILED_KEY, failed_add, 1)
        failed_add = {}
    end
    if #logged > 0 then tries().write() end
    if made.groups then made.groups.write() end
    if #push_order > 0 then pushing().write() end
    for step, n in pairs(moves) do
        count(STATE_NAME[floor(step / 16)], -n)
        count(STATE_NAME[step % 16], n)
    end
    for field, n in pairs(counts) do
        if n ~= 0 then call('HINCRBY', COUNT, field, n) end
    end
    counts, moves = {}, {}
end
