-- cancel: ends tasks that have not ended. A running one is asked to end: whichever report comes first
-- with its token decides what became of it.
--
-- ARGV  ids   Answer {cancelled, requested, skipped}: skipped had ended already, or are not there

even_when_full()
local heads = fetch(ARGV)
local cancelled, requested, skipped, workers = 0, 0, 0, {}
for i = 1, #ARGV do
    local id, h = ARGV[i], heads[i]
    if not h or END_FIELD[h.state] then
        skipped = skipped + 1
    elseif h.state == IN_PROGRESS then
        requested = requested + 1
        h.flags = with_flag(h.flags, FLAG_CANCEL)
        save(id, h)
        local worker = call('HGET', RUNNING, id)
        if worker then
            call('SADD', cancel_key(worker), id)
            workers[worker] = true
        end
    else
        cancelled = cancelled + 1
        if has_flag(h.flags, FLAG_AFTER) then call('HDEL', AWAIT, id) end
        move(id, h, CANCELLED)
        save(id, h)
    end
end
flush()
for worker in pairs(workers) do notify(worker) end
fan_out()
return {cancelled, requested, skipped}
