-- lib.lua: what every operation shares; put before each of them at build time.
--
-- KEYS[1] is the queue, `distcomp:{NAME}`; every other key is derived from it (one Cluster slot).
-- Sections that not every call needs are functions that make them when they are first called: what a call
-- does not need costs it one closure (making all of them took half of a claim's time).
--
-- An operation works on tables in memory (records, groups, pushes, counts) and writes them with flush()
-- at its end, so that a batch costs a fixed number of Redis calls and a script that stops for bad
-- arguments before flush() has changed nothing. Records are drawn in docs/protocol.md.

local Q = KEYS[1]
local call = redis.call
local sub, byte, format, match = string.sub, string.byte, string.format, string.match
local pack, unpack_struct = struct.pack, struct.unpack
local floor, min, max = math.floor, math.min, math.max

local WAITING, TODO, IN_PROGRESS, FINISHED, FAILED, DELAYED, HELD, CANCELLED = 1, 2, 3, 4, 5, 6, 7, 8
local STATE_NAME = {'waiting', 'todo', 'in_progress', 'finished', 'failed', 'delayed', 'held',
                    'cancelled'}
local FLAG_DEPENDANTS, FLAG_CANCEL, FLAG_AFTER = 1, 2, 4

-- What became of a try; the numbers are those of common/trylog.h.
local OUTCOME = {finished = 1, failed = 2, timeout = 3, cancelled = 4, returned = 5, released = 6,
                 tempfail = 7, lost = 8, dependency = 9}

local BATCH = 500         -- records a call may touch
local TRIES_KEPT = 20     -- entries of a task's try log
local AUTO_STEP = 255

local function key(name) return Q .. ':' .. name end
local TASK, TRY, OUTPUT = key('task'), key('try'), key('output')
local OUTPUT_ORDER, SHAPE, DELAYED_KEY = key('output_order'), key('shape'), key('delayed')
local RUNNING, COUNT, NAME, AFTER = key('running'), key('count'), key('name'), key('after')
local AWAIT, FANOUT, LEASE, IDLE = key('await'), key('fanout'), key('lease'), key('idle')
local FINISHED_KEY, FAILED_KEY, AVOID, LOAD = key('finished'), key('failed'), key('avoid'), key('load')
local WORKERS = key('workers')
local function worker_key(name) return key('worker:' .. name) end
local function held_key(name) return key('held:' .. name) end
local function cancel_key(name) return key('cancel:' .. name) end

local time = call('TIME')
local NOW = time[1] * 1000 + floor(time[2] / 1000)

local function has_flag(flags, flag) return floor(flags / flag) % 2 == 1 end
local function with_flag(flags, flag) return has_flag(flags, flag) and flags or flags + flag end
local function without_flag(flags, flag) return has_flag(flags, flag) and flags - flag or flags end

-- Writes a table of arguments in pieces that fit Lua's stack. step: arguments that belong together.
local function call_many(command, first, args, step)
    local piece = 1000 * step
    for i = 1, #args, piece do
        call(command, first, unpack(args, i, min(i + piece - 1, #args)))
    end
end

-- Records -------------------------------------------------------------------------------------------

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

-- Heads of these ids, in their order; false where there is no such task.
local function fetch(ids)
    local heads = {}
    for i = 1, #ids, 1000 do
        local records = call('HMGET', TASK, unpack(ids, i, min(i + 999, #ids)))
        for j = 1, #records do
            heads[i + j - 1] = records[j] and decode(records[j])
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

-- States --------------------------------------------------------------------------------------------

local END_FIELD = {[FINISHED] = 'finished', [FAILED] = 'failed', [CANCELLED] = 'cancelled'}

local function dependants_key(ref) return key('dependants:' .. ref) end

-- A name or task has ended: those that wait for it now are due, with that verdict, whatever becomes of
-- it before their turn.
local function end_ref(ref, ok)
    local n = call('LLEN', dependants_key(ref))
    if n > 0 then call('RPUSH', FANOUT, format('%s%d:%s', ok and '+' or '-', n, ref)) end
end

-- What the list of finished tasks holds: a task that was forgotten, loaded and finished again has
-- another time of loading, so that its old entry is seen to be stale.
local function finished_entry(id, h) return id .. '.' .. format('%x', h.loaded) end

-- Groups: the tasks that share a name, or a name's part before a '/' ----------------------------------

local groups_made
local function groups()
    if groups_made then return groups_made end
    local GROUP = '>I4I4I4I4I4BI6'
    local by_name, open_loads = {}, {}

    local function group(name)
        local g = by_name[name]
        if g == nil then
            local packed = call('HGET', NAME, name)
            g = {known = packed and true or false, total = 0, pending = 0, finished = 0, failed = 0,
                 cancelled = 0, dependants = 0, load = 0}
            if packed then
                g.total, g.pending, g.finished, g.failed, g.cancelled, g.dependants, g.load =
                    unpack_struct(GROUP, packed)
            end
            by_name[name] = g
        end
        return g
    end

    -- Calls f(group, name) for a name and each that it lies in: a/b/c, a/b, a.
    local function each_group(name, f)
        while name and name ~= '' do
            local g = group(name)
            g.dirty = true
            f(g, name)
            name = match(name, '^(.*)/[^/]*$')
        end
    end

    local function group_open(g)
        if g.load == 0 then return false end
        if open_loads[g.load] == nil then
            open_loads[g.load] = call('ZSCORE', LOAD, format('%d', g.load)) and true or false
        end
        return open_loads[g.load]
    end

    local function open_key(load) return key('open:' .. format('%d', load)) end

    -- A task of this name has moved from one end (or none) to another.
    local function moved(name, old_end, new_end)
        each_group(name, function(g)
            if old_end then g[old_end] = max(0, g[old_end] - 1) else g.pending = max(0, g.pending - 1) end
            if new_end then
                g[new_end] = g[new_end] + 1
                g.ended = true
            else
                g.pending = g.pending + 1
            end
        end)
    end

    local function write()
        local args = {}
        for name, g in pairs(by_name) do
            if g.dirty then
                if g.total == 0 and g.pending == 0 and not group_open(g) then
                    call('HDEL', NAME, name)
                    by_name[name] = nil
                else
                    args[#args + 1] = name
                    args[#args + 1] = pack(GROUP, g.total, g.pending, g.finished, g.failed, g.cancelled,
                                           g.dependants, g.load)
                    if g.ended and g.pending == 0 and g.dependants == 1 then
                        if group_open(g) then
                            call('SADD', open_key(g.load), name)
                        else
                            end_ref('n:' .. name, g.failed + g.cancelled == 0)
                        end
                    end
                    g.dirty, g.ended, g.known = nil, nil, true
                end
            end
        end
        if #args > 0 then call_many('HSET', NAME, args, 2) end
    end


    groups_made = {group = group, each_group = each_group, group_open = group_open, open_key = open_key,
                   moved = moved, write = write}
    return groups_made
end

-- The one place where a task's state changes: counts, groups and indexes follow from it.
local function move(id, h, state)
    local old = h.state
    if old == state then return end
    count(STATE_NAME[old], -1)
    count(STATE_NAME[state], 1)
    h.state = state
    local old_end, new_end = END_FIELD[old], END_FIELD[state]
    if h.name ~= '' and old_end ~= new_end then
        groups().moved(h.name, old_end, new_end)
    end
    if state == FAILED then failed_add[#failed_add + 1] = id end
    if old == FAILED then failed_remove[#failed_remove + 1] = id end
    if state == FINISHED then finished_ids[#finished_ids + 1] = finished_entry(id, h) end
    if new_end and has_flag(h.flags, FLAG_DEPENDANTS) then end_ref('t:' .. id, state == FINISHED) end
end

-- Lists ---------------------------------------------------------------------------------------------

local function step_bytes(step)
    if step == 0 then return 0 end
    return (8 + (step - 1) % 8) * 2 ^ floor((step - 1) / 8) * 131072
end

local function shape_of(h)
    return format('%d:%d:%d:%s', h.priority, h.step, h.mcpu, h.requires)
end

local function list_key(shape) return key('todo:' .. shape) end

-- Shapes sort by priority, high first, then by the age of their list's head.
local function shape_score(shape, sequence)
    return format('%.0f', sequence % 2 ^ 33 - tonumber(match(shape, '^%d+')) * 2 ^ 33)
end

local function hint_sequence(hint) return tonumber(match(hint, '%.(%x+)$'), 16) end

-- mem: the task's exact request; the rung in the list's name is rounded up.
local function push_hint(shape, id, generation, mem, front)
    local p = pushes[shape]
    if not p then
        p = {back = {}, front = {}, least = mem}
        pushes[shape] = p
        push_order[#push_order + 1] = shape
    elseif mem < p.least then
        p.least = mem
    end
    local list = front and p.front or p.back
    list[#list + 1] = id .. '.' .. format('%x', generation)
end

-- Puts a task into todo; saves it. front: before everything else of its priority.
local function to_todo(id, h, front)
    move(id, h, TODO)
    h.generation = (h.generation + 1) % 65536
    push_hint(shape_of(h), id, h.generation, h.mem, front)
    save(id, h)
end

local function to_delayed(id, h, delay_ms)
    move(id, h, DELAYED)
    h.generation = (h.generation + 1) % 65536
    call('ZADD', DELAYED_KEY, NOW + delay_ms, id .. '.' .. format('%x', h.generation))
    save(id, h)
end

local function has_all(caps, requires)
    for word in string.gmatch(requires, '[^,]+') do
        if not string.find(caps, ',' .. word .. ',', 1, true) then return false end
    end
    return true
end

-- Pushing and waking ----------------------------------------------------------------------------------

local pushing_made
local function pushing()
    if pushing_made then return pushing_made end
    -- Wakes as many idle workers as n tasks of this shape may need, the least of which wants `need` bytes
    -- (exactly: a worker that is woken for what it cannot take would wake the next, and that one it again).
    -- Passes over `except`; looks at `probes` workers at most. Returns at how many it has looked. A worker that
    -- is told keeps its place in `idle` with minus the time as its score, until it claims.
    local function wake(shape, need, n, probes, except)
        local step, mcpu, requires = match(shape, '^%d+:(%d+):(%d+):(.*)$')
        local auto = tonumber(step) == AUTO_STEP
        mcpu = tonumber(mcpu)
        local idle = call('ZRANGEBYSCORE', IDLE, auto and 0 or format('%.0f', need), '+inf', 'LIMIT', 0,
                          probes)
        for i = 1, #idle do
            local room = idle[i] ~= except and call('HGET', worker_key(idle[i]), 'room')
            local mem, room_mcpu, slots, auto_mem, caps = match(room or '', '^(%d+) (%d+) (%d+) (%d+) (.*)$')
            if mem and tonumber(room_mcpu) >= mcpu and (not auto or tonumber(mem) >= tonumber(auto_mem)) and
                has_all(caps, requires) then
                if call('PUBLISH', key('wake:' .. idle[i]), 'work') == 0 then
                    call('ZREM', IDLE, idle[i])
                else
                    call('ZADD', IDLE, format('%.0f', -NOW), idle[i])
                    local takes = tonumber(slots)
                    if mcpu > 0 then takes = min(takes, floor(tonumber(room_mcpu) / mcpu)) end
                    n = n - max(takes, 1)
                    if n <= 0 then return i end
                end
            end
        end
        return #idle
    end

    local WAKE_PROBES = 1000 -- idle workers that one call looks at

    local function write()
        local total = 0
        for _, p in pairs(pushes) do total = total + #p.back end
        local sequence = total > 0 and call('HINCRBY', COUNT, 'sequence', total) - total or 0
        for _, shape in ipairs(push_order) do
            local p, list = pushes[shape], list_key(shape)
            if #p.back > 0 then
                local first = sequence + 1
                for i = 1, #p.back do p.back[i] = format('%s.%x', p.back[i], sequence + i) end
                sequence = sequence + #p.back
                call_many('RPUSH', list, p.back, 1)
                if call('LLEN', list) == #p.back then
                    call('ZADD', SHAPE, shape_score(shape, first), shape)
                end
            end
            if #p.front > 0 then
                for i = 1, #p.front do p.front[i] = p.front[i] .. '.0' end
                call_many('LPUSH', list, p.front, 1)
                call('ZADD', SHAPE, shape_score(shape, 0), shape)
            end
        end
        if call('EXISTS', IDLE) == 1 then
            local probes = WAKE_PROBES
            for _, shape in ipairs(push_order) do
                local p = pushes[shape]
                if probes > 0 then probes = probes - wake(shape, p.least, #p.back + #p.front, probes) end
            end
        end
        pushes, push_order = {}, {}
    end

    pushing_made = {wake = wake, write = write}
    return pushing_made
end

-- Tries ---------------------------------------------------------------------------------------------

local function log_try(id, entry) try_log[#try_log + 1] = {id, entry} end

-- Gives a task that ran back to todo, before the others; or, if its cancelling was asked for, ends it.
local function give_back(id, h)
    if has_flag(h.flags, FLAG_CANCEL) then
        h.flags = without_flag(h.flags, FLAG_CANCEL)
        move(id, h, CANCELLED)
        save(id, h)
    else
        to_todo(id, h, true)
    end
end

local tries_made
local function tries()
    if tries_made then return tries_made end
    -- The bytes of a nonce's hex digits.
    local function nonce_bytes(nonce)
        return (string.gsub(nonce, '..', function(digits) return string.char(tonumber(digits, 16)) end))
    end

    local NO_NONCE = string.rep('\0', 10)

    -- One entry of a try log, as common/trylog.c packs it, for tries that no worker reports; nonce: only if
    -- a worker did, so that it is known again (report.lua).
    local function try_entry(try, outcome, start_ms, worker, reason, nonce)
        worker, reason = sub(worker, 1, 255), sub(reason, 1, 1000)
        start_ms = min(start_ms, NOW)
        local body = pack('>HBBHI6I6I6I6I6I5I6I6', try, OUTCOME[outcome], 0, 0, start_ms, NOW,
                          (NOW - start_ms) * 1000, 0, 0, 0, 0, 0) ..
            (nonce and nonce_bytes(nonce) or NO_NONCE) .. pack('>B', #worker) .. worker .. pack('>BH', 0, 0) ..
            pack('>H', #reason) .. reason
        return pack('>H', #body) .. body
    end

    -- The last TRIES_KEPT entries of a log.
    local function trim_log(log)
        local starts, at = {}, 1
        while at < #log do
            starts[#starts + 1] = at
            at = at + 2 + unpack_struct('>H', log, at)
        end
        if #starts <= TRIES_KEPT then return log end
        return sub(log, starts[#starts - TRIES_KEPT + 1])
    end

    local function write()
        local ids, logs, args = {}, {}, {}
        for _, item in ipairs(try_log) do
            if not logs[item[1]] then
                ids[#ids + 1] = item[1]
                logs[item[1]] = ''
            end
        end
        local old = {}
        for i = 1, #ids, 1000 do
            local part = call('HMGET', TRY, unpack(ids, i, min(i + 999, #ids)))
            for j = 1, #part do logs[ids[i + j - 1]] = part[j] or '' end
        end
        for _, item in ipairs(try_log) do logs[item[1]] = logs[item[1]] .. item[2] end
        for _, id in ipairs(ids) do
            args[#args + 1] = id
            args[#args + 1] = #logs[id] > 1200 and trim_log(logs[id]) or logs[id]
        end
        call_many('HSET', TRY, args, 2)
        try_log = {}
    end

    -- A task ends without (another) try, for a reason of the queue's own.
    local function fail_for(id, h, outcome, worker, start_ms, reason, nonce)
        log_try(id, try_entry(h.tries, outcome, start_ms, worker, reason, nonce))
        move(id, h, FAILED)
        save(id, h)
    end

    -- Its worker vanished. At max_losses the task has failed. Groups of workers that kill each other's
    -- tasks are seen in the try log. nonce: as in try_entry.
    local function lose(id, h, worker, start_ms, max_losses, reason, nonce)
        h.losses = h.losses + 1
        count('losses', 1)
        if h.losses >= max_losses and not has_flag(h.flags, FLAG_CANCEL) then
            fail_for(id, h, 'lost', worker, start_ms,
                     format('its worker vanished %d times, last %s: %s', h.losses, worker, reason), nonce)
        else
            log_try(id, try_entry(h.tries, 'lost', start_ms, worker, reason, nonce))
            give_back(id, h)
        end
    end

    tries_made = {nonce_bytes = nonce_bytes, fail_for = fail_for, lose = lose, write = write}
    return tries_made
end

-- Dependencies --------------------------------------------------------------------------------------

local flush
local dependencies_made
local function dependencies()
    if dependencies_made then return dependencies_made end
    -- A reference is KIND TYPE ':' NAME-OR-ID: kind 'a' (after) or 'e' (after_any), type 'n' or 't'.
    -- A list of dependants holds KIND ID '.' GENERATION: the task waits under that generation only, so that
    -- entries it left behind (cancelled, then queued again) are not counted.

    -- What stands behind 'n:NAME' or 't:ID': 'open', 'ok', 'failed' or 'unknown'.
    local function ref_status(ref)
        local what = sub(ref, 3)
        if sub(ref, 1, 1) == 'n' then
            local g = groups().group(what)
            if not g.known and not g.dirty then return 'unknown' end
            if g.pending > 0 or groups().group_open(g) then return 'open' end
            return (g.failed + g.cancelled > 0) and 'failed' or 'ok'
        end
        local record = current(what)
        if not record then return 'unknown' end
        local state = byte(record, 1)
        if not END_FIELD[state] then return 'open' end
        return state == FINISHED and 'ok' or 'failed'
    end

    local function mark_dependants(ref)
        local what = sub(ref, 3)
        if sub(ref, 1, 1) == 'n' then
            local g = groups().group(what)
            g.dependants, g.dirty = 1, true
            if groups().group_open(g) then call('SADD', groups().open_key(g.load), what) end
        else
            local record = current(what)
            local flags = with_flag(byte(record, 2), FLAG_DEPENDANTS)
            save_record(what, sub(record, 1, 1) .. string.char(flags) .. sub(record, 3))
        end
    end

    -- Why a task with these references can never run, or nil. lenient: a dependency that was forgotten is
    -- as good as finished (the task had been entered before).
    local function failed_ref(refs, lenient)
        for line in string.gmatch(refs, '[^\n]+') do
            local ref = sub(line, 2)
            local status = ref_status(ref)
            if status == 'unknown' and not lenient then
                return format('dependency %s is not known', sub(ref, 3))
            elseif status == 'failed' and sub(line, 1, 1) == 'a' then
                return format('dependency %s failed', sub(ref, 3))
            end
        end
        return nil
    end

    -- Puts a task where its references (lines of `after`, none of them failed) say: waiting or todo; held
    -- stays held.
    local function start_after(id, h, refs)
        local waiting = 0
        h.generation = (h.generation + 1) % 65536
        for line in string.gmatch(refs, '[^\n]+') do
            local ref = sub(line, 2)
            if ref_status(ref) == 'open' then
                call('RPUSH', dependants_key(ref), format('%s%s.%x', sub(line, 1, 1), id, h.generation))
                mark_dependants(ref)
                waiting = waiting + 1
            end
        end
        if waiting > 0 then
            call('HSET', AWAIT, id, waiting)
            if h.state ~= HELD then move(id, h, WAITING) end
            save(id, h)
        else
            call('HDEL', AWAIT, id)
            if h.state == HELD then save(id, h) else to_todo(id, h) end
        end
    end

    -- Queues a failed or cancelled task again, with its counts at 0. False, and nothing is done, when a
    -- dependency has failed (and is not queued again itself).
    local function restart(id, h)
        local refs = has_flag(h.flags, FLAG_AFTER) and call('HGET', AFTER, id)
        if refs and failed_ref(refs, true) then return false end
        h.failures, h.losses, h.flags = 0, 0, without_flag(h.flags, FLAG_CANCEL)
        if refs then start_after(id, h, refs) else to_todo(id, h) end
        return true
    end

    local function resolve(entries, ref, ok)
        local ids = {}
        for i = 1, #entries do ids[i] = sub(entries[i], 2, 15) end
        local heads = fetch(ids)
        for i = 1, #ids do
            local id, h = ids[i], heads[i]
            if h and (h.state == WAITING or h.state == HELD) and
                h.generation == tonumber(sub(entries[i], 17), 16) then
                if not ok and sub(entries[i], 1, 1) == 'a' then
                    if call('HDEL', AWAIT, id) == 1 then
                        tries().fail_for(id, h, 'dependency', '', NOW,
                                 format('dependency %s failed', sub(ref, 3)))
                    end
                elseif call('HEXISTS', AWAIT, id) == 1 and call('HINCRBY', AWAIT, id, -1) <= 0 then
                    call('HDEL', AWAIT, id)
                    if h.state == WAITING then to_todo(id, h) end
                end
            end
        end
    end

    -- Takes at most `budget` dependants from the work list of ended names and tasks, items of
    -- '+' or '-' COUNT ':' REFERENCE. Returns whether some are left. One task's million dependants are 2,000
    -- calls, not one.
    local function fan_out(budget)
        while budget > 0 do
            local item = call('LINDEX', FANOUT, 0)
            if not item then return false end
            local verdict, left, ref = match(item, '^([+-])(%d+):(.*)$')
            left = tonumber(left)
            local list, wanted = dependants_key(ref), min(left, budget)
            local entries = call('LRANGE', list, 0, wanted - 1)
            if #entries > 0 then
                call('LTRIM', list, #entries, -1)
                resolve(entries, ref, verdict == '+')
                flush()
            end
            if #entries < wanted or #entries == left then
                call('LPOP', FANOUT)
            else
                call('LSET', FANOUT, 0, format('%s%d:%s', verdict, left - #entries, ref))
            end
            budget = budget - max(#entries, 1)
        end
        return call('EXISTS', FANOUT) == 1
    end

    dependencies_made = {failed_ref = failed_ref, start_after = start_after, restart = restart,
                         fan_out = fan_out}
    return dependencies_made
end

-- One step of what ended names and tasks have left to do.
local function fan_out()
    if call('EXISTS', FANOUT) == 1 then dependencies().fan_out(BATCH) end
end

local function lease_of(worker) return tonumber(call('HGET', worker_key(worker), 'lease') or 30000) end

-- Milliseconds until something is due (a delayed task, a lease), 0 when work is waiting, -1 for never.
local function next_due()
    if call('EXISTS', FANOUT) == 1 then return 0 end
    local due = -1
    local delayed = call('ZRANGE', DELAYED_KEY, 0, 0, 'WITHSCORES')
    if delayed[2] then due = max(0, tonumber(delayed[2]) - NOW) end
    local lease = call('ZRANGE', LEASE, 0, 0, 'WITHSCORES')
    if lease[2] then
        local left = max(0, tonumber(lease[2]) - NOW)
        if left == 0 then -- over; but if Redis was away (maintain.lua), it does not end yet
            local away = tonumber(call('HGET', COUNT, 'away') or 0)
            if away > 0 then left = max(0, away + lease_of(lease[1]) - NOW) end
        end
        if due < 0 or left < due then due = left end
    end
    return floor(due)
end

-- Writing -------------------------------------------------------------------------------------------

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
    if #try_log > 0 then tries().write() end
    if groups_made then groups_made.write() end
    if #push_order > 0 then pushing().write() end
    for field, n in pairs(counts) do
        if n ~= 0 then call('HINCRBY', COUNT, field, n) end
    end
    counts = {}
end

-- Held tasks ----------------------------------------------------------------------------------------

-- Leaves a worker's hands: the token is checked by the caller.
local function release_hold(id, worker)
    call('HDEL', RUNNING, id)
    call('HDEL', held_key(worker), id)
    call('SREM', cancel_key(worker), id)
end

-- try, nonce, start of a held entry 'TRY.NONCE.START'.
local function held_parts(entry)
    local try, nonce, start = match(entry, '^(%d+)%.(%x+)%.(%d+)$')
    return tonumber(try), nonce, tonumber(start)
end

-- Tells a worker to look at what is asked of it (renew at once).
local function notify(worker) call('PUBLISH', key('wake:' .. worker), 'command') end

local holders_made
local function holders()
    if holders_made then return holders_made end
    -- At most BATCH of what a worker holds, as a flat list id, entry, ...
    local function some_held(worker)
        local held = call('HSCAN', held_key(worker), 0, 'COUNT', BATCH)[2]
        while #held > 2 * BATCH do table.remove(held) end
        return held
    end

    -- Takes at most BATCH tasks from a worker that is gone. Returns whether some are left.
    local function lose_some(worker, max_losses, reason)
        local held = some_held(worker)
        local ids = {}
        for i = 1, #held, 2 do ids[#ids + 1] = held[i] end
        local heads = fetch(ids)
        for i = 1, #ids do
            local h = heads[i]
            local try, _, start_ms = held_parts(held[2 * i])
            release_hold(ids[i], worker)
            if h and h.state == IN_PROGRESS and h.tries == try then
                tries().lose(ids[i], h, worker, start_ms, max_losses, reason)
            end
        end
        flush()
        return call('EXISTS', held_key(worker)) == 1
    end

    holders_made = {some_held = some_held, lose_some = lose_some}
    return holders_made
end

-- Outputs -------------------------------------------------------------------------------------------

local outputs_made
local function outputs()
    if outputs_made then return outputs_made end
    -- The output that an item ID.TRY of the order list stands for; nil when it was dropped, removed or
    -- replaced by that of a later try: the number in its first two bytes tells.
    local function output_of(item)
        local id, try = match(item, '^(%w+)%.(%d+)$')
        local output = call('HGET', OUTPUT, id)
        if output and output ~= '' and unpack_struct('>H', output) == tonumber(try) then return output, id end
    end

    -- Drops the oldest outputs until they fit; an empty value marks a dropped one.
    local function trim_outputs(total, keep_bytes)
        local dropped = 0
        for _ = 1, BATCH do
            if total - dropped <= keep_bytes then break end
            local item = call('LPOP', OUTPUT_ORDER)
            if not item then break end
            local output, id = output_of(item)
            if output then
                call('HSET', OUTPUT, id, '')
                dropped = dropped + #output
            end
        end
        if dropped > 0 then count('output_bytes', -dropped) end
    end

    outputs_made = {output_of = output_of, trim = trim_outputs}
    return outputs_made
end
