-- tries: logs of what became of them; losing a worker.

local function log_try(id, entry)
    if not try_log[id] then logged[#logged + 1] = id end
    try_log[id] = (try_log[id] or '') .. entry
end

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

local function tries()
    if made.tries then return made.tries end
    -- The bytes of a nonce's hex digits.
    local function nonce_bytes(nonce)
        return (string.gsub(nonce, '..', function(digits) return string.char(tonumber(digits, 16)) end))
    end

    local TRIES_KEPT = 20 -- entries of a task's try log
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
        local args = {}
        for i = 1, #logged, 1000 do
            local old = call('HMGET', TRY, unpack(logged, i, min(i + 999, #logged)))
            for j = 1, #old do
                local id = logged[i + j - 1]
                local log = old[j] and old[j] .. try_log[id] or try_log[id]
                args[#args + 1] = id
                args[#args + 1] = #log > 1200 and trim_log(log) or log
            end
        end
        call_many('HSET', TRY, args, 2)
        try_log, logged = {}, {}
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
        h.losses = one_more(h.losses)
        count('losses', 1)
        if h.losses >= max_losses and not has_flag(h.flags, FLAG_CANCEL) then
            fail_for(id, h, 'lost', worker, start_ms,
                     format('its worker vanished %d times, last %s: %s', h.losses, worker, reason), nonce)
        else
            log_try(id, try_entry(h.tries, 'lost', start_ms, worker, reason, nonce))
            give_back(id, h)
        end
    end

    -- Whether the result of this very try was recorded: its log has an entry with this number and nonce.
    local function recorded(id, try, nonce)
        local log = call('HGET', TRY, id)
        local token, bytes = pack('>H', try), nonce_bytes(nonce)
        local at = 1
        while log and at < #log do
            local size = unpack_struct('>H', log, at)
            if sub(log, at + 2, at + 3) == token and sub(log, at + 55, at + 64) == bytes then return true end
            at = at + 2 + size
        end
        return false
    end

    made.tries = {recorded = recorded, fail_for = fail_for, lose = lose, write = write}
    return made.tries
end
