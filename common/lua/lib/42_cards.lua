-- cards: which GPUs a task gets, as worker/gpuplace.c decides it. The worker places what it was given once more; this
-- is to give it no more than it can place.

local function cards()
    if made.cards then return made.cards end

    -- {milli, mem}: thousandths of a card, bytes on each; nil when the task asks for none.
    local function request(requires)
        if not wants_cards(requires) then return nil end
        local words = ',' .. requires
        local milli, mem = tonumber(match(words, ',gpu:(%d+)')) or 0, tonumber(match(words, ',gpu_mem:(%d+)')) or 0
        if milli > 0 or mem > 0 then return {milli = milli, mem = mem} end
    end

    -- What is free, of the text that gpuplace_add_free writes: thousandths, bytes left to a request that names its
    -- memory, to one that does not, bytes in all, whether none of our tasks is there.
    local function parse(text)
        local list = {}
        for milli, mem, plain, total, empty in string.gmatch(text, '(%d+):(%d+):(%d+):(%d+):([01])') do
            list[#list + 1] = {milli = tonumber(milli), mem = tonumber(mem), plain = tonumber(plain),
                               total = tonumber(total), empty = empty == '1'}
        end
        return list
    end

    -- The same cards with nothing promised and nobody else on them.
    local function emptied(list)
        local empty = {}
        for i, c in ipairs(list) do
            empty[i] = {milli = 1000, mem = c.total, plain = c.total, total = c.total, empty = true}
        end
        return empty
    end

    -- The memory of a card that the request takes there.
    local function taken_of(c, r)
        if r.milli >= 1000 then return c.total end
        return r.mem > 0 and r.mem or floor(c.total / 1000) * r.milli
    end

    local function fits(c, r)
        local left = r.mem > 0 and c.mem or c.plain
        if r.milli < 1000 then return r.milli <= c.milli and taken_of(c, r) <= left end
        return c.empty and (r.mem > 0 and r.mem <= left or r.mem == 0 and left == c.total)
    end

    -- {index = true} of the cards for it, the fullest that will do; nil when they are not there.
    local function place(list, r)
        local chosen = {}
        for _ = 1, max(1, math.ceil(r.milli / 1000)) do
            local best, at
            for i, c in ipairs(list) do
                if not chosen[i] and fits(c, r) and
                    (not best or c.milli < best.milli or (c.milli == best.milli and c.mem < best.mem)) then
                    best, at = c, i
                end
            end
            if not best then return nil end
            chosen[at] = true
        end
        return chosen
    end

    local function take(list, r, chosen)
        for i in pairs(chosen) do
            local c = list[i]
            local want = taken_of(c, r)
            c.milli, c.mem, c.plain = max(0, c.milli - r.milli), max(0, c.mem - want), max(0, c.plain - want)
            c.empty = false
        end
    end

    local function text(list)
        local parts = {}
        for i, c in ipairs(list) do
            parts[i] = format('%d:%.0f:%.0f:%.0f:%d', c.milli, c.mem, c.plain, c.total, c.empty and 1 or 0)
        end
        return #parts > 0 and table.concat(parts, ',') or '-'
    end

    -- Whether a worker with these cards could run a task, when it has nothing else to do (now: as they are).
    local function can(its_cards, requires, now)
        local r = request(requires)
        if not r then return true end
        local list = parse(its_cards)
        return place(now and list or emptied(list), r) ~= nil
    end

    made.cards = {request = request, parse = parse, place = place, take = take, text = text, can = can}
    return made.cards
end

-- What a worker said last of its room: table of mem, mcpu, slots, auto (what an unknown family's task counts for), most
-- (for one task when it is empty), cards, caps; nil before its first claim. claim.lua writes it.
local function parse_room(room)
    local mem, mcpu, slots, auto, most, its_cards, caps = match(room or '', '^(%d+) (%d+) (%d+) (%d+) (%d+) (%S+) (.*)$')
    if not mem then return nil end
    return {mem = tonumber(mem), mcpu = tonumber(mcpu), slots = tonumber(slots), auto = tonumber(auto),
            most = tonumber(most), cards = its_cards, caps = caps}
end
