-- dependencies: what waits for what, and the work list of what has ended.

local flush
local function dependencies()
    if made.dependencies then return made.dependencies end
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
            -- One that is to end yet gets there when it does (groups().write).
            if g.pending == 0 and groups().group_open(g) then call('SADD', open_key(g.load), what) end
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
    -- stays held. later: {lists = {}, awaits = {}} of an operation that writes many at once, by
    -- write_later, for tasks that are new.
    local function start_after(id, h, refs, later)
        local waiting = 0
        h.generation = (h.generation + 1) % 65536
        for line in string.gmatch(refs, '[^\n]+') do
            local ref = sub(line, 2)
            if ref_status(ref) == 'open' then
                local entry = format('%s%s.%x', sub(line, 1, 1), id, h.generation)
                if later and sub(ref, 1, 1) == 'n' then
                    local list = later.lists[ref]
                    if not list then
                        list = {}
                        later.lists[ref] = list
                        mark_dependants(ref)
                    end
                    list[#list + 1] = entry
                else
                    call('RPUSH', dependants_key(ref), entry)
                    mark_dependants(ref)
                end
                waiting = waiting + 1
            end
        end
        if waiting > 0 then
            if later then
                later.awaits[#later.awaits + 1] = id
                later.awaits[#later.awaits + 1] = waiting
            else
                call('HSET', AWAIT, id, waiting)
            end
            if h.state ~= HELD then move(id, h, WAITING) end
            save(id, h)
        else
            if not later then call('HDEL', AWAIT, id) end
            if h.state == HELD then save(id, h) else to_todo(id, h) end
        end
    end

    -- To be called before flush(), which looks at how long the lists are of names that have ended.
    local function write_later(later)
        for ref, list in pairs(later.lists) do call_many('RPUSH', dependants_key(ref), list, 1) end
        call_many('HSET', AWAIT, later.awaits, 2)
    end

    -- Queues a failed or cancelled task again, with its counts at 0. False, and nothing is done, when a
    -- dependency has failed (and is not queued again itself).
    local function restart(id, h)
        local refs = has_flag(h.flags, FLAG_AFTER) and call('HGET', AFTER, id)
        if refs and failed_ref(refs, true) then return false end
        h.failures, h.losses, h.returns, h.flags = 0, 0, 0, without_flag(h.flags, FLAG_CANCEL)
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

    made.dependencies = {failed_ref = failed_ref, start_after = start_after, write_later = write_later,
                         restart = restart, fan_out = fan_out}
    return made.dependencies
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
        if left == 0 then -- over; but if Redis was away (away_since), it does not end yet
            local away = tonumber(call('HGET', COUNT, 'away') or 0)
            if away > 0 then left = max(0, away + lease_of(lease[1]) - NOW) end
        end
        if due < 0 or left < due then due = left end
    end
    return floor(due)
end
