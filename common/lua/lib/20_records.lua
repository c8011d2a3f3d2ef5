-- records: a task's head, decoded and packed; and what flush() is going to write.

local HEAD = '>BBHI4I6BI4HHHHI6'
local HEAD_BYTES = 33

local function decode(record)
    local h = {record = record}
    h.state, h.flags, h.generation, h.priority, h.mem, h.step, h.mcpu, h.tries, h.failures, h.losses,
        h.returns, h.loaded = unpack_struct(HEAD, record)
    local n = byte(record, HEAD_BYTES + 1)
    h.requires = sub(record, HEAD_BYTES + 2, HEAD_BYTES + 1 + n)
    local at = HEAD_BYTES + 2 + n
    n = byte(record, at)
    h.name = sub(record, at + 1, at + n)
    return h
end

local function encode(h)
    return pack(HEAD, h.state, h.flags, h.generation, h.priority, h.mem, h.step, h.mcpu, h.tries,
                min(h.failures, 65535), min(h.losses, 65535), min(h.returns, 65535), h.loaded) ..
           sub(h.record, HEAD_BYTES + 1)
end

-- Heads of these ids, in their order; false where there is no such task. An id that comes twice has one head:
-- whoever looks at the second sees what became of the first.
local function fetch(ids)
    local heads, seen = {}, {}
    for i = 1, #ids, 1000 do
        local records = call('HMGET', TASK, unpack(ids, i, min(i + 999, #ids)))
        for j = 1, #records do
            local id = ids[i + j - 1]
            local h = seen[id]
            if h == nil then
                h = records[j] and decode(records[j])
                seen[id] = h
            end
            heads[i + j - 1] = h
        end
    end
    return heads
end

-- Everything below is written by flush().
local writes, counts = {}, {}
local pushes, push_order = {}, {} -- by list; in the order in which the lists were first named
local try_log, finished_ids, failed_add, failed_remove = {}, {}, {}, {}

local written = {} -- where in `writes` a task's record is

local function save_record(id, record)
    local at = written[id]
    if not at then
        at = #writes + 2
        written[id] = at
        writes[at - 1] = id
    end
    writes[at] = record
end

local function save(id, h) save_record(id, encode(h)) end

-- The record as flush() will leave it, or false.
local function current(id)
    return written[id] and writes[written[id]] or call('HGET', TASK, id)
end

local function count(field, n) counts[field] = (counts[field] or 0) + n end
