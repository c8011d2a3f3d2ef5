-- load: enters a batch of tasks, each unless it is there already.
--
-- ARGV  1 load (id from `begin`, or 0: the batch is a whole load of its own)
--       2 '1' to queue failed and cancelled tasks again
--       then for each task: id, record (state todo, generation 0), references ('' or lines, see lib)
-- Answer {new, known, updated, duplicate, failed, retried}
--       known: there, and not failed; updated: had not started, and its priority, resources or
--       options changed; duplicate: came before in this load; failed: there, and failed or cancelled.
-- A batch sent twice (a lost answer) changes nothing the second time but the counts it answers.

local load, retry_failed = tonumber(ARGV[1]), ARGV[2] == '1'
local new, known, updated, duplicate, failed, retried = 0, 0, 0, 0, 0, 0
if load ~= 0 then call('ZADD', LOAD, NOW, format('%d', load)) end

local ids = {}
for i = 3, #ARGV, 3 do ids[#ids + 1] = ARGV[i] end
local there = {}
for i = 1, #ids, 1000 do
    local part = call('HMGET', TASK, unpack(ids, i, min(i + 999, #ids)))
    for j = 1, #part do there[i + j - 1] = part[j] end
end

local shapes, seen = {}, {}
local afters, later = {}, {lists = {}, awaits = {}} -- of new tasks; written at the end

local function name_of(record)
    local at = HEAD_BYTES + 2 + byte(record, HEAD_BYTES + 1)
    return sub(record, at + 1, at + byte(record, at))
end

-- The names that this batch is about, in as few calls as possible.
local function prefetch_names()
    local names, listed = {}, {}
    local function list(name)
        if name ~= '' and not listed[name] then
            listed[name] = true
            names[#names + 1] = name
        end
    end
    for i = 1, #ids do
        local name = name_of(ARGV[3 * i + 1])
        while name and name ~= '' do
            list(name)
            name = match(name, '^(.*)/[^/]*$')
        end
        for ref in string.gmatch(ARGV[3 * i + 2], '.n:([^\n]+)') do list(ref) end
    end
    if #names > 0 then groups().prefetch(names) end
end

-- Tasks of one file share few shapes: remember them by the bytes that make them.
local function shape_of_new(record)
    if byte(record, HEAD_BYTES + 1) ~= 0 then return shape_of(decode(record)) end
    local bytes = sub(record, 5, 19)
    local shape = shapes[bytes]
    if not shape then
        shape = shape_of(decode(record))
        shapes[bytes] = shape
    end
    return shape
end

-- A name stays open for the last load that brought it, also if all its tasks were known; what waits for
-- it is then looked at when this load closes.
local function adopt(name, g)
    if load == 0 or g.load == load then return end
    -- One that is to end yet gets into the set when it does.
    if g.dependants == 1 and g.pending == 0 then call('SADD', open_key(load), name) end
    g.load = load
end

local function enter_group(name)
    groups().each_group(name, function(g, group_name)
        g.total, g.pending = g.total + 1, g.pending + 1
        adopt(group_name, g)
    end)
end

-- Gives a task the references it has in this file, and puts it where they say.
local function set_refs(id, h, refs, new_task)
    if new_task then
        afters[#afters + 1] = id
        afters[#afters + 1] = refs
        h.flags = with_flag(h.flags, FLAG_AFTER)
    elseif refs ~= '' then
        call('HSET', AFTER, id, refs)
        h.flags = with_flag(h.flags, FLAG_AFTER)
    elseif has_flag(h.flags, FLAG_AFTER) then
        call('HDEL', AFTER, id)
        h.flags = without_flag(h.flags, FLAG_AFTER)
    end
    local reason = dependencies().failed_ref(refs)
    if reason then
        if not new_task then call('HDEL', AWAIT, id) end
        tries().fail_for(id, h, 'dependency', '', NOW, reason)
    else
        dependencies().start_after(id, h, refs, new_task and later)
    end
end

local function enter_new(id, record, refs)
    if load == 0 then record = sub(record, 1, 27) .. pack('>I6', NOW) .. sub(record, 34) end
    new = new + 1
    local name = name_of(record)
    if name ~= '' then enter_group(name) end
    if refs == '' then
        save_record(id, record)
        count('todo', 1)
        push_hint(shape_of_new(record), id, 0, (unpack_struct('>I6', record, 9)))
        return
    end
    local h = decode(record)
    count('todo', 1)
    set_refs(id, h, refs, true)
end

-- The record of the file, with the memory that a return for memory has raised the request to, if that is larger.
local function with_raised(h, record)
    if not has_flag(h.flags, FLAG_RAISED) then return record end
    local mem, step = unpack_struct('>I6B', record, 9)
    if step ~= AUTO_STEP and mem >= h.mem then return record end
    return sub(record, 1, 8) .. sub(h.record, 9, 15) .. sub(record, 16)
end

local function is_changed(h, record)
    return sub(h.record, 5, 19) ~= sub(record, 5, 19) or sub(h.record, 34) ~= sub(record, 34)
end

-- The file's priority, resources and options hold from now on.
local function take_over(h, record)
    local n = decode(record)
    if n.mem ~= h.mem then h.flags = without_flag(h.flags, FLAG_RAISED) end
    h.priority, h.mem, h.step, h.mcpu, h.requires = n.priority, n.mem, n.step, n.mcpu, n.requires
    h.record = record
end

local function update(id, h, record, refs)
    local old_refs = has_flag(h.flags, FLAG_AFTER) and call('HGET', AFTER, id) or ''
    take_over(h, record)
    if refs ~= old_refs and h.tries == 0 and h.state ~= DELAYED then
        set_refs(id, h, refs)
    elseif h.state == TODO then
        to_todo(id, h)
    else
        save(id, h)
    end
end

-- A failed or cancelled task, to be queued again as the file has it now.
local function retry(id, h, record, refs)
    if is_changed(h, record) then take_over(h, record) end
    h.failures, h.losses, h.returns = 0, 0, 0
    set_refs(id, h, refs)
end

local function enter_known(id, h, record, refs)
    record = with_raised(h, record)
    if load ~= 0 and h.name ~= '' then
        groups().each_group(h.name, function(g, group_name) adopt(group_name, g) end)
    end
    if load ~= 0 and h.loaded == load then
        duplicate = duplicate + 1
    elseif h.state == FAILED or h.state == CANCELLED then
        if retry_failed and not dependencies().failed_ref(refs) then
            retry(id, h, record, refs)
            retried = retried + 1
        else
            failed = failed + 1
        end
    elseif h.state ~= FINISHED and h.state ~= IN_PROGRESS and is_changed(h, record) then
        update(id, h, record, refs)
        updated = updated + 1
    else
        known = known + 1
    end
end

prefetch_names()
for i = 1, #ids do
    local id, record, refs = ids[i], ARGV[3 * i + 1], ARGV[3 * i + 2]
    if seen[id] then
        duplicate = duplicate + 1
    elseif not there[i] then
        enter_new(id, record, refs)
    else -- its record may have changed in this call: dependants mark it
        enter_known(id, decode(written[id] and current(id) or there[i]), record, refs)
    end
    seen[id] = true
end
call_many('HSET', AFTER, afters, 2)
if #later.awaits > 0 then dependencies().write_later(later) end
flush()
return {new, known, updated, duplicate, failed, retried}
