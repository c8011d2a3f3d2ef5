-- claim: gives a worker the best tasks that fit what it has free, and registers it as idle when it
-- could have taken more.
--
-- ARGV  1 worker   2 session   3 request id (the same when asked again after a lost answer)
--       4 nonce, 16 hex digits drawn for this request; task i of the answer has nonce .. %04x(i-1)
--       5 free memory in bytes   6 free milli-cores   7 free slots (at most 500)
--       8 memory in bytes that a min_dram=auto task counts for while its family is not known
--       9 what it has, as ',word,word,'   10 rank to go on from (0, or `more` of the last answer)
--       11 memory in bytes and 12 milli-cores that the worker has for one task when it is empty: a worker
--       that claims ahead says more in 5 and 6 than it has
--       13 ms for which a large task may be passed over, 0: for ever (Reservations, in docs/protocol.md)
--       14 forecast 'MS MEMORY MILLICORES MS ...': what will be free after so long, last the empty worker
--       15 what is free of its cards (lib/42_cards.lua), '' for none
-- Answer {status, due, more, id, record, need, id, record, need, ...}; asked again, a task that has left this
--       worker's hands meanwhile keeps its place, with an empty record
--       status 'ok', 'gone' (register first) or 'stopped' (drained: nothing is given)
--       due    ms until something else is due, 0 now, -1 never: call `maintain` then
--       more   rank of the next list to look at, -1 when all were looked at
--       need   'NEED HOLD' of min_dram=auto in bytes: what is promised, what of that is held once it runs; else ''
-- A task given is in_progress under token TRY.NONCE, TRY being the record's tries.

local worker, session, request, nonce = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local free_mem, free_mcpu, slots = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local auto_mem, caps, rank = tonumber(ARGV[8]), ARGV[9], tonumber(ARGV[10])
local most_mem, most_mcpu = tonumber(ARGV[11]), tonumber(ARGV[12])
local starve_ms, forecast, gpus = tonumber(ARGV[13]), ARGV[14], ARGV[15]
local my_cards = gpus ~= '' and cards().parse(gpus) or {}

local DISCARDS, REPLY_BYTES = 500, 4 * 1024 * 1024
local RECORDS, SKIPS = 64, 100 -- of a list, looked at at once; passed over in all
local LOOK_MS = 1000       -- between two looks at the notes on large tasks
local PASSED = 4           -- shapes that do not fit, noted in a call

local me = call('HMGET', worker_key(worker), 'session', 'want', 'request', 'claimed', 'reserved', 'looked')
-- A claim may arrive after its worker's lease has ended; what it gave would be nobody's to take back.
if me[1] ~= session or not has_lease(worker) then return {'gone', -1, -1} end

-- What a task is promised here.
local function promise(h)
    if h.step == AUTO_STEP then return needs().of(h.requires, auto_mem, worker, most_mem) end
    return h.mem
end

-- The same for the answer.
local function need_text(h)
    return h.step == AUTO_STEP and format('%.0f %.0f', needs().of(h.requires, auto_mem, worker, most_mem)) or ''
end

if me[3] == request then
    local answer, index = {'ok', next_due(), -1}, 0
    for id in string.gmatch(me[4] or '', '%w+') do
        local held = call('HGET', held_key(worker), id)
        local mine = held and select(2, held_parts(held)) == nonce .. format('%04x', index)
        local record = mine and call('HGET', TASK, id)
        index = index + 1
        answer[#answer + 1] = id
        answer[#answer + 1] = record or ''
        answer[#answer + 1] = record and need_text(decode(record)) or ''
    end
    return answer
end
if me[2] and me[2] ~= 'run' then return {'stopped', next_due(), -1} end

-- First of all a write that Redis refuses when it is full, so that the claim is refused whole.
call('HSET', worker_key(worker), 'request', request)

local taken, bytes, discarded = {}, 0, 0
local spare_mem, spare_mcpu -- of what is free, what is not kept for a large task
local answer, running, held = {'ok', -1, -1}, {}, {}
local held_since = '.' .. format('%d', NOW)
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

-- Reservations: a large task that others were taken before, since it does not fit now though it would if the
-- worker were empty, is noted in `reserve`, SHAPE: ID SINCE DUE OWNED GONE OWNER
--   ID     the first task of its list then     SINCE  when it was first passed over
--   DUE    when a worker is to be chosen for it, or chosen anew
--   OWNED  when OWNER was chosen
--   GONE   0, or when it was seen to be in progress: what was claimed ahead may come back unstarted
--   OWNER  the worker that takes nothing that would delay it; empty until it is due
-- OWNER finds its shape in its own hash, `reserved`; who has passed one over lately has `looked` there. So a
-- claim of any other worker reads nothing of this. No task's state depends on it, and nobody has to remove a note
-- in time: whoever looks sees what still holds.
local reserved, looked = me[5], tonumber(me[6] or 0)
local looks = starve_ms > 0 and (NOW - looked >= min(LOOK_MS, starve_ms / 8) or looked > NOW)
local keep_mem, keep_mcpu, keeps = 0, 0, false -- what is kept free, from the place of its task in the order on
local kept_mem, kept_mcpu, kept, notes_left    -- the same, before it is reached

local function save_note(shape, note)
    call('HSET', RESERVE, shape, format('%s %.0f %.0f %.0f %.0f %s', note.id, note.since, note.due, note.owned,
                                        note.gone, note.owner))
end

if starve_ms > 0 and (reserved or (looks and looked > 0)) then
    local RETURN_MS, WORKERS_SEEN = 2000, 256
    local notes = {} -- that hold, by shape

    local function let_go(owner, shape)
        if owner ~= '' and call('HGET', worker_key(owner), 'reserved') == shape then
            call('HDEL', worker_key(owner), 'reserved')
            if owner ~= worker then call('PUBLISH', wake_channel(owner), 'work') end
        end
    end

    -- Whether a note still holds; writes down when its task was claimed or came back.
    local function stands(shape, note)
        local h = note.head
        if note.gone > 0 and NOW - note.gone > RETURN_MS then return false end
        if not h or shape_of(h) ~= shape or (h.state ~= TODO and h.state ~= IN_PROGRESS) then return false end
        if (h.state == TODO) == (note.gone > 0) then
            note.gone = h.state == TODO and 0 or NOW
            save_note(shape, note)
        end
        return true
    end

    local function read_notes()
        local flat, ids = call('HGETALL', RESERVE), {}
        for i = 2, #flat, 2 do ids[i / 2] = sub(flat[i], 1, 14) end
        local heads = fetch(ids)
        for i = 1, #ids do
            local shape, note = flat[2 * i - 1], {id = ids[i], head = heads[i]}
            local since, due, owned, gone, owner = match(flat[2 * i], '^%w+ (%d+) (%d+) (%d+) (%d+) (.*)$')
            note.since, note.due, note.owned = tonumber(since), tonumber(due), tonumber(owned)
            note.gone, note.owner = tonumber(gone), owner
            if stands(shape, note) then
                notes[shape] = note
            else
                call('HDEL', RESERVE, shape)
                let_go(owner, shape)
            end
        end
    end

    -- In how many ms a worker expects to have room for a task, by what it said last (`forecast`: when it said so,
    -- then MS MEMORY MILLICORES, what is free after so long); nil: never. What should have been by now is
    -- late, and may be so for as long again.
    local function ready_in(name, h)
        local it, told = {auto = auto_mem, most = most_mem, cards = gpus, caps = caps}, format('%.0f %s', NOW, forecast)
        if name ~= worker then
            local has = call('HMGET', worker_key(name), 'want', 'room', 'forecast')
            if has[1] and has[1] ~= 'run' then return nil end
            it, told = parse_room(has[2]), has[3] or ''
        end
        if not it or not has_all(it.caps, h.requires) or
            (wants_cards(h.requires) and not cards().can(it.cards, h.requires)) then
            return nil
        end
        local mem = h.step == AUTO_STEP and needs().of(h.requires, it.auto, name, it.most) or h.mem
        local said, points = match(told, '^(%d+)(.*)$')
        for after, point_mem, point_mcpu in string.gmatch(points or '', '(%d+) (%d+) (%d+)') do
            if tonumber(point_mem) >= mem and tonumber(point_mcpu) >= h.mcpu then
                return math.abs(tonumber(said) + tonumber(after) - NOW)
            end
        end
        return nil
    end

    local function live_workers()
        local names = call('ZREVRANGEBYSCORE', LEASE, '+inf', format('%.0f', NOW), 'LIMIT', 0, WORKERS_SEEN)
        for i = 1, #names do
            if names[i] == worker then return names end
        end
        names[#names + 1] = worker
        return names
    end

    -- The live worker that would be free soonest, or ''; nobody is kept free for two. One that serves already stays
    -- unless another takes less than half as long. Second: whether any could ever hold it.
    local function soonest(shape, note, owner)
        local avoided, taken, able = others and avoided_by(note.id, note.head), {}, false
        for other, n in pairs(notes) do
            if other ~= shape then taken[n.owner] = true end
        end
        local best, best_ms
        for _, name in ipairs(live_workers()) do
            local ms = name ~= avoided and ready_in(name, note.head)
            if ms then
                able = true
                if name == owner then ms = ms / 2 end
                if not taken[name] and (not best or ms < best_ms) then best, best_ms = name, ms end
            end
        end
        return best or '', able
    end

    local function choose(shape, note, owner)
        local best, able = soonest(shape, note, owner)
        if best ~= note.owner then let_go(note.owner, shape) end
        if not able then
            call('HDEL', RESERVE, shape)
            notes[shape] = nil
            return
        end
        if best ~= note.owner then note.owner, note.owned = best, NOW end
        if best ~= '' then call('HSET', worker_key(best), 'reserved', shape) end
        note.due = NOW + (best ~= '' and starve_ms or starve_ms / 4)
        save_note(shape, note)
    end

    -- The owner, if it can be relied on: alive, running, aware of it, and the task did not just fail there.
    local function serving(shape, note)
        local owner = note.owner
        local lease = owner ~= '' and call('ZSCORE', LEASE, owner)
        if not lease or tonumber(lease) < NOW then return '' end
        local has = call('HMGET', worker_key(owner), 'want', 'reserved')
        if (has[1] or 'run') ~= 'run' or has[2] ~= shape then return '' end
        return (others and avoided_by(note.id, note.head)) == owner and '' or owner
    end

    -- The first in order, of those whose time has come, gets a worker.
    local function serve_one()
        local first, first_priority
        for shape, note in pairs(notes) do
            if note.due > NOW + starve_ms then -- Redis' clock was set back, or it is another worker's setting
                note.due = NOW + starve_ms
                save_note(shape, note)
            end
            note.serving = serving(shape, note)
            if note.gone == 0 and (NOW >= note.due or note.serving ~= note.owner) then
                local priority = tonumber(match(shape, '^%d+'))
                if not first or priority > first_priority or
                    (priority == first_priority and note.since < notes[first].since) then
                    first, first_priority = shape, priority
                end
            end
        end
        if first then choose(first, notes[first], notes[first].serving) end
    end

    read_notes()
    if reserved and not (notes[reserved] and notes[reserved].owner == worker) then
        call('HDEL', worker_key(worker), 'reserved')
    end
    if looks then serve_one() end
    for shape, note in pairs(notes) do
        local h = note.head
        notes_left = true
        if note.owner == worker and note.gone == 0 and (others and avoided_by(note.id, h)) ~= worker and
            (not wants_cards(h.requires) or cards().can(gpus, h.requires, true)) then
            kept, kept_mem, kept_mcpu = shape, promise(h), h.mcpu
        end
    end
    if kept and rank > 0 and (call('ZRANK', SHAPE, kept) or rank) < rank then
        keep_mem, keep_mcpu, keeps = kept_mem, kept_mcpu, true
    end
end
spare_mem, spare_mcpu = max(0, free_mem - keep_mem), max(0, free_mcpu - keep_mcpu)

-- mem: what it is promised.
local function give(id, h, mem)
    h.tries = h.tries % 65535 + 1
    move(id, h, IN_PROGRESS)
    local record, index = encode(h), #taken
    save_record(id, record)
    taken[index + 1] = id
    answer[3 * index + 4], answer[3 * index + 5], answer[3 * index + 6] = id, record, need_text(h)
    running[2 * index + 1], running[2 * index + 2] = id, worker
    held[2 * index + 1], held[2 * index + 2] = id, format('%d.%s%04x', h.tries, nonce, index) .. held_since
    free_mem, spare_mem = free_mem - mem, spare_mem - mem
    free_mcpu, spare_mcpu = free_mcpu - h.mcpu, spare_mcpu - h.mcpu
    slots = slots - 1
    bytes = bytes + #record
end

local function is_stale(h, hint)
    return not h or h.state ~= TODO or h.generation ~= tonumber(match(hint, '^%.(%x+)', 15), 16)
end

-- How many records of a list to look at: as many as can be taken at most, but one, to see whether its
-- head is stale; more once there were stale ones.
local function records_wanted(least, mcpu)
    local want = min(slots, RECORDS)
    if mcpu > 0 then want = min(want, floor(spare_mcpu / mcpu)) end
    if least > 0 then want = min(want, floor(spare_mem / least)) end
    return max(want, discarded > 0 and 2 * RECORDS or 1)
end

-- Takes from one list what fits, in order, up to the first that does not. Returns whether the list is
-- another one now, and whether there was one that did not fit. wants: the cards that each wants, or nil.
local function take(list, least, mcpu, wants)
    local skipped, changed, full, fits = {}, false, false, true
    while not full and fits and slots > 0 and mcpu <= spare_mcpu and least <= spare_mem and
        discarded < DISCARDS and #skipped < SKIPS do
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
                full = slots == 0 or bytes >= REPLY_BYTES
                local mem, place = promise(h), wants and cards().place(my_cards, wants)
                fits = mem <= spare_mem and mem <= most_mem and mcpu <= spare_mcpu and not (wants and not place)
                if full or not fits then break end
                if others and avoided_by(ids[i], h) == worker then
                    skipped[#skipped + 1] = hints[i]
                else
                    give(ids[i], h, mem)
                    if place then cards().take(my_cards, wants, place) end
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
    return changed, not fits
end

-- A list has lost its head: the shape has another rank, or none.
local function rank_anew(shape, list)
    local head = call('LINDEX', list, 0)
    if head then
        call('ZADD', SHAPE, shape_score(shape, hint_sequence(head)), shape)
    else
        call('ZREM', SHAPE, shape)
    end
end

local passed, passed_at = {}, {} -- shapes that do not fit, and how many had been taken before each

-- Takes from the list of a shape, if what is in it may fit. Returns whether its rank may be another now.
local function take_shape(shape)
    local step, mcpu, requires = match(shape, '^%d+:(%d+):(%d+):(.*)$')
    step, mcpu = tonumber(step), tonumber(mcpu)
    -- The rung is rounded up: between it and the one below, only the record tells.
    if mcpu > most_mcpu or (requires ~= '' and not takes_now(caps, requires)) then return false end
    local wants = requires ~= '' and wants_cards(requires) and cards().request(requires)
    if wants and not cards().place(my_cards, wants) then return false end
    local least = step > 1 and step_bytes(step - 1) + 1 or step
    if step == AUTO_STEP then least = needs().of(requires, auto_mem, worker, most_mem) end
    if least > most_mem then return false end
    local changed, blocked = false, true
    if least <= spare_mem and mcpu <= spare_mcpu then
        local list = list_key(shape)
        changed, blocked = take(list, least, mcpu, wants)
        if changed then rank_anew(shape, list) end
    end
    if blocked and looks and not keeps and slots > 0 and #passed < PASSED then
        passed[#passed + 1], passed_at[#passed + 1] = shape, #taken
    end
    return changed
end

-- Goes through the shapes by their ranks. Returns the rank to go on from, -1 when all were looked at or no slot is left.
local function look_through()
    local FIRST_PAGE, PAGE, SHAPES_SEEN = 4, 100, 1000 -- most claims are content with the first list
    local seen, size = 0, FIRST_PAGE
    while slots > 0 do
        local page = call('ZRANGE', SHAPE, rank, rank + size - 1)
        local moved = 0
        local families_of = prefetch_needs(page)
        for i = 1, #page do
            local before, digest = #taken, families_of and families_of[i]
            if not (digest and needs().too_large(digest, worker, most_mem)) and take_shape(page[i]) then moved = moved + 1 end
            if page[i] == kept then
                kept = nil
                if #taken == before then
                    keep_mem, keep_mcpu, keeps = kept_mem, kept_mcpu, true
                    spare_mem, spare_mcpu = max(0, free_mem - keep_mem), max(0, free_mcpu - keep_mcpu)
                end
            end
            if slots == 0 then return -1 end
            if bytes >= REPLY_BYTES or discarded >= DISCARDS then return 0 end
        end
        if #page < size then return -1 end
        seen = seen + (families_of and 2 or 1) * #page -- their needs take time, too
        rank = rank + #page - moved
        size = PAGE
        if seen >= SHAPES_SEEN then return rank end
    end
    return -1
end
local more = look_through()

if #taken > 0 then
    call_many('HSET', RUNNING, running, 2)
    call_many('HSET', held_key(worker), held, 2)
end
call('HSET', worker_key(worker), 'claimed', table.concat(taken, ' '), 'room',
     format('%.0f %d %d %.0f %.0f %s %s', max(free_mem, 0), free_mcpu, slots, auto_mem, most_mem,
            #my_cards > 0 and cards().text(my_cards) or '-', caps), 'forecast',
     starve_ms > 0 and format('%.0f %s', NOW, forecast) or '')

-- Notes what was passed over, unless nothing was taken after it.
while #passed > 0 and more < 0 and passed_at[#passed] == #taken do passed[#passed] = nil end
if #passed > 0 then
    local NOTES, HEADS = 32, 16 -- notes kept; hints of a list looked at

    -- The first task of a list that is not stale: id, head. Discards those before it.
    local function first_of(shape)
        local list, ids = list_key(shape), {}
        local hints = call('LRANGE', list, 0, HEADS - 1)
        for i = 1, #hints do ids[i] = sub(hints[i], 1, 14) end
        local heads, stale = fetch(ids), 0
        while stale < #hints and is_stale(heads[stale + 1], hints[stale + 1]) do stale = stale + 1 end
        if stale > 0 then
            discarded = discarded + stale
            call('LTRIM', list, stale, -1)
            rank_anew(shape, list)
        end
        return ids[stale + 1], heads[stale + 1]
    end

    local count, noted = call('HLEN', RESERVE), call('HMGET', RESERVE, unpack(passed))
    for i, shape in ipairs(passed) do
        local id, h
        if not noted[i] and count < NOTES then id, h = first_of(shape) end
        if id and promise(h) <= most_mem and
            not (others and avoided_by(id, h) == worker) then
            count = count + 1
            save_note(shape, {id = id, since = NOW, due = NOW + starve_ms, owned = 0, gone = 0, owner = ''})
        end
    end
end
if #passed > 0 or (looks and notes_left) then
    call('HSET', worker_key(worker), 'looked', NOW)
elseif looks and looked > 0 then
    call('HDEL', worker_key(worker), 'looked')
end
-- One that is kept free waits for its own tasks to end, not for others to come.
local waits = slots > 0 and more < 0 and not keeps
if waits then
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
    local WAKE_SHAPES, WAKE_PROBES, WAKING_MS = 16, 64, 200
    local idle = call('ZCOUNT', IDLE, 0, '+inf')
    if idle <= (waits and 1 or 0) or
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

answer[2], answer[3] = next_due(), more
return answer
