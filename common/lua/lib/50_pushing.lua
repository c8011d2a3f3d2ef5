-- pushing: writes hints, and wakes idle workers for them.

local function pushing()
    if made.pushing then return made.pushing end
    -- Wakes as many idle workers as n tasks of this shape may need, the least of which wants `need` bytes
    -- (exactly: a worker that is woken for what it cannot take would wake the next, and that one it again).
    -- Passes over `except`; looks at `probes` workers at most. Returns at how many it has looked. A worker that
    -- is told keeps its place in `idle` with minus the time as its score, until it claims.
    local function wake(shape, need, n, probes, except)
        local step, mcpu, requires = match(shape, '^%d+:(%d+):(%d+):(.*)$')
        local auto = tonumber(step) == AUTO_STEP
        mcpu = tonumber(mcpu)
        local function fits(room, name)
            if room.mcpu < mcpu or not takes_now(room.caps, requires) or
                (wants_cards(requires) and not cards().can(room.cards, requires, true)) then
                return false
            end
            return not auto or room.mem >= needs().of(requires, room.auto, name, room.most)
        end
        local idle = call('ZRANGEBYSCORE', IDLE, auto and 0 or format('%.0f', need), '+inf', 'LIMIT', 0,
                          probes)
        for i = 1, #idle do
            local room = idle[i] ~= except and parse_room(call('HGET', worker_key(idle[i]), 'room'))
            if room and fits(room, idle[i]) then
                if call('PUBLISH', wake_channel(idle[i]), 'work') == 0 then
                    call('ZREM', IDLE, idle[i])
                else
                    call('ZADD', IDLE, format('%.0f', -NOW), idle[i])
                    local takes = room.slots
                    if mcpu > 0 then takes = min(takes, floor(room.mcpu / mcpu)) end
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

    made.pushing = {wake = wake, write = write}
    return made.pushing
end
