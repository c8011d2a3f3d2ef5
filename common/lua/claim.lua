-- claim: gives a worker the best tasks that fit what it has free, and registers it as idle when it
-- could have taken more.
--
-- ARGV  1 worker   2 incarnation   3 request id (the same when asked again after a lost answer)
--       4 nonce, 16 hex digits drawn for this request; task i of the answer has nonce .. %04x(i-1)
--       5 free memory in bytes   6 free milli-cores   7 free slots (at most 500)
--       8 memory in bytes that a min_dram=auto task counts for
--       9 what it has, as ',word,word,'   10 rank to go on from (0, or `more` of the last answer)
--       11 memory in bytes and 12 milli-cores that the worker has for one task when it is empty: a worker
--       that claims ahead says more in 5 and 6 than it has
-- Answer {status, due, more, id, record, id, record, ...}; asked again, a task that has left this worker's
--       hands meanwhile keeps its place, with an empty record
--       status 'ok', 'gone' (register first) or 'stopped' (drained: nothing is given)
--       due    ms until something else is due, 0 now, -1 never: call `maintain` then
--       more   rank of the next list to look at, -1 when all were looked at
-- A task given is in_progress under token TRY.NONCE, TRY being the record's tries.

local worker, incarnation, request, nonce = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local free_mem, free_mcpu, slots = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local auto_mem, caps, rank = tonumber(ARGV[8]), ARGV[9], tonumber(ARGV[10])
local most_mem, most_mcpu = tonumber(ARGV[11]), tonumber(ARGV[12])

local PAGE, SHAPES_SEEN, DISCARDS, REPLY_BYTES = 100, 1000, 500, 4 * 1024 * 1024
local FIRST_PAGE = 4       -- most claims are content with the first list
local RECORDS, SKIPS = 64, 100 -- of a list, looked at at once; passed over in all
local WAKE_SHAPES, WAKE_PROBES, WAKING_MS = 16, 64, 200

local me = call('HMGET', worker_key(worker), 'incarnation', 'want', 'request', 'claimed')
-- A claim may arrive after its worker's lease has ended; what it gave would be nobody's to take back.
if me[1] ~= incarnation or not has_lease(worker) then return {'gone', -1, -1} end

if me[3] == request then
    local answer = {'ok', next_due(), -1}
    for i, id in string.gmatch(me[4] or '', '(%d+):(%w+)') do
        local held = call('HGET', held_key(worker), id)
        local mine = held and select(2, held_parts(held)) == nonce .. format('%04x', i)
        answer[#answer + 1] = id
        answer[#answer + 1] = mine and call('HGET', TASK, id) or ''
    end
    return answer
end
if me[2] and me[2] ~= 'run' then return {'stopped', next_due(), -1} end

-- First of all a write that Redis refuses when it is full, so that the claim is refused whole.
call('HSET', worker_key(worker), 'request', request)

local taken, bytes, discarded = {}, 0, 0
local given, running, held = {}, {}, {}
local others = call('ZCARD', LEASE) > 1

-- The worker that should leave this task to others for now: the one where its last try failed.
local function avoided_by(id, h)
    local avoid = h.failures > 0 and call('HGET', AVOID, id)
    if not avoid then return nil end
    local who, till = match(avoid, '^(.*) (%d+)$')
    if NOW < tonumber(till) then return who end
    call('HDEL', AVOID, id)
    return nil
end

local function give(id, h)
    h.tries = h.tries % 65535 + 1
    move(id, h, IN_PROGRESS)
    local record, index = encode(h), #taken
    save_record(id, record)
    taken[index + 1] = id
    given[#given + 1] = id
    given[#given + 1] = record
    running[#running + 1] = id
    running[#running + 1] = worker
    held[#held + 1] = id
    held[#held + 1] = format('%d.%s%04x.%d', h.tries, nonce, index, NOW)
    free_mem = free_mem - (h.step == AUTO_STEP and auto_mem or h.mem)
    free_mcpu = free_mcpu - h.mcpu
    slots = slots - 1
    bytes = bytes + #record
end

local function is_stale(h, hint)
    return not h or h.state ~= TODO or h.generation ~= tonumber(match(hint, '^%w+%.(%x+)'), 16)
end

-- How many records of a list to look at: as many as can be taken at most, but one, to see whether its
-- head is stale; more once there were stale ones.
local function records_wanted(least, mcpu)
    local want = min(slots, RECORDS)
    if mcpu > 0 then want = min(want, floor(free_mcpu / mcpu)) end
    if least > 0 then want = min(want, floor(free_mem / least)) end
    return max(want, discarded > 0 and 2 * RECORDS or 1)
end

-- Takes from one list what fits, in order, up to the first that does not. Returns whether the list is
-- another one now.
local function take(list, least, mcpu)
    local skipped, changed, fits = {}, false, true
    while fits and slots > 0 and mcpu <= free_mcpu and least <= free_mem and discarded < DISCARDS and
        #skipped < SKIPS do
        local want = records_wanted(least, mcpu)
        local hints = call('LRANGE', list, 0, want - 1)
        local ids, used = {}, 0
        for i = 1, #hints do ids[i] = sub(hints[i], 1, 14) end
        local heads = fetch(ids)
        for i = 1, #hints do
            local h = heads[i]
            if is_stale(h, hints[i]) then
                discarded = discarded + 1
            else
                local mem = h.step == AUTO_STEP and auto_mem or h.mem
                fits = slots > 0 and bytes < REPLY_BYTES and mem <= free_mem and h.mcpu <= free_mcpu
                if not fits then break end
                if others and avoided_by(ids[i], h) == worker then
                    skipped[#skipped + 1] = hints[i]
                else
                    give(ids[i], h)
                end
            end
            used = i
        end
        if used > 0 then
            call('LTRIM', list, used, -1)
            changed = true
        end
        if #hints < want then break end
    end
    for i = #skipped, 1, -1 do call('LPUSH', list, skipped[i]) end
    return changed
end

-- Takes from the list of a shape, if what is in it may fit. Returns whether its rank may be another now.
local function take_shape(shape)
    local step, mcpu, requires = match(shape, '^%d+:(%d+):(%d+):(.*)$')
    step, mcpu = tonumber(step), tonumber(mcpu)
    -- The rung is rounded up: between it and the one below, only the record tells.
    local least = step == AUTO_STEP and auto_mem or (step > 1 and step_bytes(step - 1) + 1 or step)
    if least > free_mem or mcpu > free_mcpu or (requires ~= '' and not has_all(caps, requires)) then
        return false
    end
    local list = list_key(shape)
    if not take(list, least, mcpu) then return false end
    local head = call('LINDEX', list, 0)
    if head then
        call('ZADD', SHAPE, shape_score(shape, hint_sequence(head)), shape)
    else
        call('ZREM', SHAPE, shape)
    end
    return true
end

local seen, more, size = 0, -1, FIRST_PAGE
while slots > 0 do
    local page = call('ZRANGE', SHAPE, rank, rank + size - 1)
    local moved = 0
    for i = 1, #page do
        if take_shape(page[i]) then moved = moved + 1 end
        if slots == 0 then break end
        if bytes >= REPLY_BYTES or discarded >= DISCARDS then
            more = 0
            break
        end
    end
    seen = seen + #page
    if more == 0 or #page < size then break end
    rank = rank + #page - moved
    size = PAGE
    if seen >= SHAPES_SEEN then
        more = rank
        break
    end
end
if slots == 0 then more = -1 end

if #taken > 0 then
    call_many('HSET', RUNNING, running, 2)
    call_many('HSET', held_key(worker), held, 2)
end
for i = 1, #taken do taken[i] = format('%d:%s', i - 1, taken[i]) end
call('HSET', worker_key(worker), 'claimed', table.concat(taken, ' '), 'room',
     format('%.0f %d %d %.0f %s', max(free_mem, 0), free_mcpu, slots, auto_mem, caps))
if slots > 0 and more < 0 then
    call('ZADD', IDLE, format('%.0f', max(free_mem, 0)), worker)
else
    call('ZREM', IDLE, worker)
end
if discarded > 0 then count('discarded', discarded) end
flush()

-- What is left may fit somebody else who is idle: tells them, by the exact request of each list's head.
-- Not this worker, which has just seen it all; and not while others that were told are on their way: the
-- last of them will see what they leave.
local function wake_others()
    local idle = call('ZCOUNT', IDLE, 0, '+inf')
    if idle <= (slots > 0 and more < 0 and 1 or 0) or
        call('ZCOUNT', IDLE, format('%.0f', -NOW), format('%.0f', WAKING_MS - NOW)) > 0 then
        return
    end
    local probes = WAKE_PROBES
    for _, shape in ipairs(call('ZRANGE', SHAPE, 0, WAKE_SHAPES - 1)) do
        if probes <= 0 then return end
        local hint = call('LINDEX', list_key(shape), 0)
        local id = sub(hint, 1, 14)
        local h = fetch({id})[1]
        local need = 0 -- whoever is told discards a stale one
        if not is_stale(h, hint) then need = h.mem end
        probes = probes - 1 - pushing().wake(shape, need, call('LLEN', list_key(shape)), probes, worker)
    end
end
wake_others()

local answer = {'ok', next_due(), more}
for i = 1, #given do answer[3 + i] = given[i] end
return answer
