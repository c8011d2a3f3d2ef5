-- records: a task's head, decoded and packed; and what flush() is going to write.

local HEAD_BYTES = 33
local HEAD_AND_WORDS, HEAD_AND_REST = '>BBHI4I6BI4HHHHI6Bc0Bc0', '>BBHI4I6BI4HHHHI6c0'

-- The table is made whole: one that grows field by field costs twice as much.
local function decode(record)
    local state, flags, generation, priority, mem, step, mcpu, tries, failures, losses, returns, loaded, requires, name =
        unpack_struct(HEAD_AND_WORDS, record)
    return {record = record, state = state, flags = flags, generation = generation, priority = priority, mem = mem,
            step = step, mcpu = mcpu, tries = tries, failures = failures, losses = losses, returns = returns,
            loaded = loaded, requires = requires, name = name}
end

local function encode(h)
    return pack(HEAD_AND_REST, h.state, h.flags, h.generation, h.priority, h.mem, h.step, h.mcpu, h.tries,
                h.failures, h.losses, h.returns, h.loaded, sub(h.record, HEAD_BYTES + 1))
end

-- One more failure, loss or return; they stop at what the record holds.
local function one_more(n) return min(n + 1, 65535) end

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
local moves = {} -- how many tasks went from one state to another, by 16 times the old + the new
local pushes, push_order = {}, {} -- by list; in the order in which the lists were first named
local try_log, logged = {}, {} -- entries by id; those ids in the order in which they were first named
local finished_ids, failed_add, failed_remove = {}, {}, {}

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
