-- needs: what min_dram=auto is promised, and the largest worker, which bounds it (docs/memory.md).

local function needs()
    if made.needs then return made.needs end
    local LARGEST_MS, WORKERS_LOOKED_AT, KINDS_MOST = 1000, 256, 20000
    local by_family, values = {}, {} -- digest: need, false: not known; its entry, 'NEED HOLD'
    local by_kind = {}   -- words that a worker must have: what the largest of these offers

    local function enter(digest, value)
        local need = value and tonumber(match(value, '^%d+')) or false
        by_family[digest], values[digest] = need, value
        return need
    end

    -- Reads many at once, for of() to find.
    local function prefetch(digests)
        local read = call('HMGET', NEED, unpack(digests))
        for i = 1, #digests do enter(digests[i], read[i]) end
    end

    -- What a worker offers one task with these requirements: 0 when it would not take it, nil when it has not said yet.
    local function offer_of(name, requires, drained)
        local has = call('HMGET', worker_key(name), 'want', 'room')
        if (has[1] or 'run') ~= 'run' and not drained then return 0 end
        local room = parse_room(has[2])
        if not room then return nil end
        local able = has_all(room.caps, requires) and cards().can(room.cards, requires)
        return able and room.most or 0
    end

    -- What the largest live worker that could run such a task offers one, as far as it matters: looks no further
    -- once it has found `enough`. Second: whether one of them has not said yet what it has. drained: also those that
    -- are, since they may be told to run again. me, my_most: a worker that has just said what it has.
    local function largest(requires, enough, limit, drained, me, my_most)
        local most, silent = 0, false
        for _, name in ipairs(call('ZREVRANGE', LEASE, 0, limit - 1)) do
            local offer = name == me and my_most or offer_of(name, requires, drained)
            if offer then most = max(most, offer) else silent = true end
            if most >= enough then break end
        end
        return most, silent
    end

    -- The same for many claims: looked up once a second for each kind of worker.
    local function largest_lately(kind, me, my_most)
        if not by_kind[kind] then
            local bytes, seen = match(call('HGET', NEED, '=' .. kind) or '', '^(%d+) (%d+)$')
            if bytes and NOW - tonumber(seen) >= 0 and NOW - tonumber(seen) <= LARGEST_MS then
                by_kind[kind] = tonumber(bytes)
            else
                local most, silent = largest(kind, math.huge, WORKERS_LOOKED_AT, false, me, my_most)
                by_kind[kind] = silent and 2 ^ 53 or most -- it may have more than all others
                if call('HLEN', NEED) < KINDS_MOST then
                    call('HSET', NEED, '=' .. kind, format('%.0f %.0f', by_kind[kind], NOW))
                end
            end
        end
        return by_kind[kind]
    end

    -- What a task with min_dram=auto is promised, and what of that is held once it runs: the need of its family, or
    -- auto_mem while that is not known. A need above the largest worker is cut to what that one has. my_most is what
    -- the worker has that asks.
    local function of(requires, auto_mem, me, my_most)
        local digest = family_of(requires)
        if not digest then return auto_mem, auto_mem end
        local need = by_family[digest]
        if need == nil then need = enter(digest, call('HGET', NEED, digest)) end
        if not need then return auto_mem, auto_mem end
        if need > my_most then
            local kind = match(requires, '^family:%x+,?(.*)$')
            need = min(need, max(largest_lately(kind, me, my_most), my_most))
        end
        return need, min(tonumber(match(values[digest], ' (%d+)$')) or need, need)
    end

    -- Whether a worker is too small for the need of a family, if that is all it wants: a quick answer for one that
    -- looks at thousands of lists.
    local function too_large(digest, me, my_most)
        local need = by_family[digest]
        return need and need > my_most and largest_lately('', me, my_most) > my_most
    end

    made.needs = {prefetch = prefetch, of = of, largest = largest, too_large = too_large}
    return made.needs
end

-- Reads the needs of all shapes of a page at once. Returns the digests of those that want a family's memory and nothing
-- else of a worker, by their places; nil when no shape has a family.
local function prefetch_needs(shapes)
    local digests, alone = {}, {}
    for i = 1, #shapes do
        local digest, rest = match(shapes[i], '^%d+:255:%d+:family:(%x+)(.*)$')
        if digest then
            digests[#digests + 1] = digest
            if rest == '' then alone[i] = digest end
        end
    end
    if #digests == 0 then return nil end
    needs().prefetch(digests)
    return alone
end
