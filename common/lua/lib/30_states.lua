-- states: move(), the one place where a task changes its state; groups (names) follow from it.

local END_FIELD = {[FINISHED] = 'finished', [FAILED] = 'failed', [CANCELLED] = 'cancelled'}

-- A name or task has ended: those that wait for it now are due, with that verdict, whatever becomes of
-- it before their turn.
local function end_ref(ref, ok)
    local n = call('LLEN', dependants_key(ref))
    if n > 0 then call('RPUSH', FANOUT, format('%s%d:%s', ok and '+' or '-', n, ref)) end
end

-- What the list of finished tasks holds: a task that was forgotten, loaded and finished again has
-- another time of loading, so that its old entry is seen to be stale.
local finished_entry
do
    local texts = {} -- of times of loading: most of a batch have the same
    function finished_entry(id, h)
        local text = texts[h.loaded]
        if not text then
            text = '.' .. format('%x', h.loaded)
            texts[h.loaded] = text
        end
        return id .. text
    end
end

-- Groups: the tasks that share a name, or a name's part before a '/' ----------------------------------

local function groups()
    if made.groups then return made.groups end
    local GROUP = '>I4I4I4I4I4BI6'
    local by_name, open_loads = {}, {}

    local function enter(name, packed)
        local g = {known = packed and true or false, total = 0, pending = 0, finished = 0, failed = 0,
                   cancelled = 0, dependants = 0, load = 0}
        if packed then
            g.total, g.pending, g.finished, g.failed, g.cancelled, g.dependants, g.load =
                unpack_struct(GROUP, packed)
        end
        by_name[name] = g
        return g
    end

    local function group(name) return by_name[name] or enter(name, call('HGET', NAME, name)) end

    -- Reads many names at once, for group() to find.
    local function prefetch(names)
        for i = 1, #names, 1000 do
            local part = call('HMGET', NAME, unpack(names, i, min(i + 999, #names)))
            for j = 1, #part do
                if not by_name[names[i + j - 1]] then enter(names[i + j - 1], part[j]) end
            end
        end
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

    made.groups = {group = group, prefetch = prefetch, each_group = each_group,
                   group_open = group_open, moved = moved, write = write}
    return made.groups
end

-- The one place where a task's state changes: counts, groups and indexes follow from it.
local function move(id, h, state)
    local old = h.state
    if old == state then return end
    local step = 16 * old + state
    moves[step] = (moves[step] or 0) + 1
    h.state = state
    local old_end, new_end = END_FIELD[old], END_FIELD[state]
    if h.name ~= '' and old_end ~= new_end then
        groups().moved(h.name, old_end, new_end)
    end
    if state == FAILED then failed_add[#failed_add + 1] = id end
    if old == FAILED then failed_remove[#failed_remove + 1] = id end
    if state == FINISHED then finished_ids[#finished_ids + 1] = finished_entry(id, h) end
    if new_end and h.failures > 0 then call('HDEL', AVOID, id) end
    if new_end and has_flag(h.flags, FLAG_DEPENDANTS) then end_ref('t:' .. id, state == FINISHED) end
end
