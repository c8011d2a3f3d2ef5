-- lists: the shapes that tasks wait in, and the hints in them.

local function step_bytes(step)
    if step == 0 then return 0 end
    return (8 + (step - 1) % 8) * 2 ^ floor((step - 1) / 8) * 131072
end

local function shape_of(h)
    return format('%d:%d:%d:%s', h.priority, h.step, h.mcpu, h.requires)
end

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

-- Whether a worker has all labels that are required. Passes over words of other sections: a task's family (needs),
-- and cards.
local function has_all(caps, requires)
    for word in string.gmatch(requires, '[^,]+') do
        if sub(word, 1, 7) ~= 'family:' and sub(word, 1, 4) ~= 'gpu:' and sub(word, 1, 8) ~= 'gpu_mem:' and
            not string.find(caps, ',' .. word .. ',', 1, true) then
            return false
        end
    end
    return true
end

-- The same for this moment: with `!kernel` among its words a worker runs as many native tasks as it may.
local function takes_now(caps, requires)
    return has_all(caps, requires) and not (string.find(caps, ',!kernel,', 1, true) and
        string.find(',' .. requires, ',kernel:', 1, true))
end

local function wants_cards(requires) return string.find(',' .. requires, ',gpu', 1, true) end

-- The family of a task with min_dram=auto, or nil. Its word is the first in order.
local function family_of(requires) return match(requires, '^family:(%x+)') end
