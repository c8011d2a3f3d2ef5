-- held: what a worker has.

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

-- Whether a worker counts as alive: its lease was not ended (maintain.lua).
local function has_lease(worker) return call('ZSCORE', LEASE, worker) ~= false end

-- When Redis was last seen to be back after it had been away, or its clock had stepped: nobody at all had
-- renewed for two intervals (a lease is three at least). From then on no lease ends for one whole lease,
-- whoever renews meanwhile: the others may still be on their way. Called before `renewed` is written.
local function away_since(lease_ms)
    local seen = call('HMGET', COUNT, 'renewed', 'away')
    local renewed, away = tonumber(seen[1] or 0), tonumber(seen[2] or 0)
    if renewed > NOW then -- the clock was set back
        renewed, away = 0, 0
        call('HSET', COUNT, 'renewed', 0)
    end
    if NOW - renewed > lease_ms * 2 / 3 and (away <= renewed or away > NOW) then
        away = NOW
        call('HSET', COUNT, 'away', NOW)
    end
    return away
end

-- A sign of life of any worker.
local function renewed_now(lease_ms)
    away_since(lease_ms)
    call('HSET', COUNT, 'renewed', NOW)
end

-- Tells a worker to look at what is asked of it (renew at once).
local function notify(worker) call('PUBLISH', wake_channel(worker), 'command') end

local function holders()
    if made.holders then return made.holders end
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

    made.holders = {some_held = some_held, lose_some = lose_some}
    return made.holders
end
