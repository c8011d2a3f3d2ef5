-- maintain: the due work of the queue, a bounded piece of it; whoever calls in does it.
--
-- ARGV  1 max_losses   2 keep_finished (count)   3 keep_finished_ms (age)   4 bytes of outputs kept
--       0 in 2, 3 or 4: no limit
-- Answer {due, lost}: due as in claim; lost: tasks taken from workers whose lease had ended

even_when_full()
local max_losses, keep_finished, keep_ms, keep_bytes =
    tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

local function start_delayed()
    local due = call('ZRANGEBYSCORE', DELAYED_KEY, '-inf', NOW, 'LIMIT', 0, BATCH)
    if #due == 0 then return end
    local ids = {}
    for i = 1, #due do ids[i] = sub(due[i], 1, 14) end
    local heads = fetch(ids)
    for i = 1, #due do
        local h = heads[i]
        if h and h.state == DELAYED and h.generation == tonumber(sub(due[i], 16), 16) then
            to_todo(ids[i], h)
        end
    end
    call('ZREM', DELAYED_KEY, unpack(due))
    flush()
end

-- A clock that was set back must not leave leases without end.
local function clamp_leases()
    local last = call('ZREVRANGE', LEASE, 0, 7, 'WITHSCORES')
    for i = 1, #last, 2 do
        local lease_ms = lease_of(last[i])
        if tonumber(last[i + 1]) > NOW + 2 * lease_ms then
            call('ZADD', LEASE, NOW + lease_ms, last[i])
        end
    end
end

local function end_leases()
    local lost = 0
    clamp_leases()
    for _, worker in ipairs(call('ZRANGEBYSCORE', LEASE, '-inf', NOW, 'LIMIT', 0, 8)) do
        local lease_ms = lease_of(worker)
        if NOW - away_since(lease_ms) < lease_ms then break end
        local before = call('HLEN', held_key(worker))
        local more = holders().lose_some(worker, max_losses, 'its lease ended')
        lost = lost + before - call('HLEN', held_key(worker))
        call('ZREM', IDLE, worker)
        if not more then
            call('ZREM', LEASE, worker)
            call('DEL', cancel_key(worker))
            call('HSET', worker_key(worker), 'state', 'lost')
        end
        if lost >= BATCH then break end
    end
    return lost
end

local TRIM, AGED = 100, 20 -- entries looked at when there are too many, and else

-- Of a task whose results are dropped stay its identity, name and final state: head, no requirements,
-- name, type, no options, no command.
local function drop_result(id, h)
    local at = HEAD_BYTES + 2 + #h.requires
    local name_and_type = sub(h.record, at, at + 1 + #h.name)
    h.record = sub(h.record, 1, HEAD_BYTES) .. '\0' .. name_and_type .. '\0'
    h.flags = without_flag(h.flags, FLAG_AFTER)
    save(id, h)
    local output_bytes = call('HSTRLEN', OUTPUT, id)
    if output_bytes > 0 then count('output_bytes', -output_bytes) end
    call('HDEL', OUTPUT, id)
    call('HDEL', TRY, id)
    call('HDEL', AFTER, id)
end

-- When the last try in a log ended, or nil.
local function ended_ms(log)
    local ended
    local at = 1
    while log and at < #log do
        ended = unpack_struct('>I6', log, at + 14)
        at = at + 2 + unpack_struct('>H', log, at)
    end
    return ended
end

-- Drops the results of the tasks that finished first, as far as they are too many or too old. Returns
-- whether it should be called again.
local function trim_finished()
    local over = keep_finished > 0 and call('LLEN', FINISHED_KEY) - keep_finished or 0
    if over <= 0 and keep_ms == 0 then return false end
    local entries, ids = call('LRANGE', FINISHED_KEY, 0, max(min(over, TRIM), AGED) - 1), {}
    for i = 1, #entries do ids[i] = sub(entries[i], 1, 14) end
    local heads, trimmed = fetch(ids), 0
    for i = 1, #ids do
        local h = heads[i]
        if h and h.state == FINISHED and finished_entry(ids[i], h) == entries[i] then
            if i > over then
                local ended = ended_ms(call('HGET', TRY, ids[i])) or h.loaded
                if keep_ms == 0 or NOW - ended <= keep_ms then break end
            end
            drop_result(ids[i], h)
        end
        trimmed = i
    end
    if trimmed == 0 then return false end
    call('LTRIM', FINISHED_KEY, trimmed, -1)
    flush()
    return true
end

-- Entries of outputs that were replaced or removed may outnumber the others: goes round the list once,
-- a piece a call.
local function compact_outputs()
    if call('LLEN', OUTPUT_ORDER) <= 2 * call('HLEN', OUTPUT) + 1000 then return end
    local keep = {}
    for _, item in ipairs(call('LRANGE', OUTPUT_ORDER, 0, BATCH - 1)) do
        if outputs().output_of(item) then keep[#keep + 1] = item end
    end
    call('LTRIM', OUTPUT_ORDER, BATCH, -1)
    if #keep > 0 then call('RPUSH', OUTPUT_ORDER, unpack(keep)) end
end

fan_out()
start_delayed()
local lost = end_leases()
local again = trim_finished()
local total = tonumber(call('HGET', COUNT, 'output_bytes') or 0)
if keep_bytes > 0 and total > keep_bytes then outputs().trim(total, keep_bytes) end
compact_outputs()
flush()
return {again and 0 or next_due(), lost}
