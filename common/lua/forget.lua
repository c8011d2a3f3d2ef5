-- forget: removes ended tasks with all that is kept of them. Loaded again, they are new.
--
-- ARGV  1 states to remove, of 'finished,failed,cancelled'   then ids   Answer {removed, skipped}

even_when_full()
-- Pops entries at the front of the list of finished tasks that are stale: forgotten, or trimmed.
local function pop_stale_finished()
    local entries, ids = call('LRANGE', FINISHED_KEY, 0, BATCH - 1), {}
    for i = 1, #entries do ids[i] = sub(entries[i], 1, 14) end
    local heads, stale = fetch(ids), 0
    while stale < #entries do
        local h = heads[stale + 1]
        if h and h.state == FINISHED and finished_entry(ids[stale + 1], h) == entries[stale + 1] then
            break
        end
        stale = stale + 1
    end
    if stale > 0 then call('LTRIM', FINISHED_KEY, stale, -1) end
end

local ids = {unpack(ARGV, 2)}
local heads = fetch(ids)
local removed = {}
for i = 1, #ids do
    local id, h = ids[i], heads[i]
    local field = h and END_FIELD[h.state]
    if field and string.find(',' .. ARGV[1] .. ',', ',' .. field .. ',', 1, true) then
        removed[#removed + 1] = id
        count(field, -1)
        groups().each_group(h.name, function(g)
            g.total, g[field] = max(0, g.total - 1), max(0, g[field] - 1)
        end)
        local output = call('HGET', OUTPUT, id)
        if output then count('output_bytes', -#output) end
    end
end
if #removed > 0 then
    for _, name in ipairs({TASK, TRY, OUTPUT, AFTER, AVOID}) do call_many('HDEL', name, removed, 1) end
    call_many('SREM', FAILED_KEY, removed, 1)
end
flush()
if #removed > 0 then
    pop_stale_finished()
    if call('HLEN', OUTPUT) == 0 then call('UNLINK', OUTPUT_ORDER) end
end
return {#removed, #ids - #removed}
