-- raising: what the next try of a task asks for that was returned since it took more memory than it was promised.
-- common/need.c is the reference; docs/memory.md.

local function raising()
    if made.raising then return made.raising end
    local REASON_MOST = 4000
    local RETURNS_MOST = 10 -- of a task that asks for all there is
    local SPARE = 64 -- a worker is taken to have a 64th less than it says: it varies, and a task must not wait for ever

    -- The rung of the memory ladder that holds so many bytes (common/task.c).
    local function mem_step(bytes)
        if bytes <= 0 then return 0 end
        local units = max(math.ceil(min(bytes, 2 ^ 47) / 131072), 8)
        local _, exponent = math.frexp(units)
        local octave = exponent - 4
        return 1 + octave * 8 + math.ceil(units / 2 ^ octave) - 8
    end

    -- As units_add_bytes (common/units.c).
    local function bytes_text(bytes)
        if bytes < 1024 then return format('%d B', bytes) end
        local power = 1
        while power < 6 and bytes >= 1024 ^ (power + 1) do power = power + 1 end
        local unit = 1024 ^ power
        local whole = floor(bytes / unit)
        local rest = floor((bytes - whole * unit) / (unit / 1024))
        local tenths = whole * 10 + floor((rest * 10 + 512) / 1024)
        if tenths == 10240 and power < 6 then
            tenths, power = 10, power + 1
        end
        return format('%d.%d %siB', floor(tenths / 10), tenths % 10, sub('KMGTPE', power, power))
    end

    -- The entry of a try log with another reason: f(reason).
    local function with_reason(entry, f)
        local at = 66 -- behind the nonce
        at = at + 1 + byte(entry, at)                   -- worker
        at = at + 1 + byte(entry, at)                   -- node
        at = at + 2 + unpack_struct('>H', entry, at)    -- path
        local behind = at + 2 + unpack_struct('>H', entry, at)
        local reason = sub(f(sub(entry, at + 2, behind - 1)), 1, REASON_MOST)
        local body = sub(entry, 3, at - 1) .. pack('>H', #reason) .. reason .. sub(entry, behind)
        return pack('>H', #body) .. body
    end

    local function fail(entry, why)
        if entry == '' then return entry, false end
        return with_reason(entry, function(reason) return reason == '' and why or why .. ': ' .. reason end), false
    end

    -- Changes what a culprit asks for. need: what the next try is to ask for, if somebody has that. Returns the entry
    -- with a note, and false when the task has failed: no worker has as much as it took, or it was returned again and
    -- again although it asks for all there is.
    local function raise(h, entry, peak, promised, need)
        local top, silent = needs().largest(h.requires, need + floor(need / SPARE) + SPARE, 0, true)
        top = top > 0 and top - floor(top / SPARE) or math.huge -- none that could run it is there now: it waits for one
        if peak > top and not silent then
            return fail(entry, format('needs at least %s; the largest worker has %s', bytes_text(peak), bytes_text(top)))
        end
        if peak <= top then need = min(need, top) end -- else only one that is silent may have so much
        if h.step ~= AUTO_STEP and need <= h.mem then
            if h.returns + 1 < RETURNS_MOST then return entry, true end
            return fail(entry, format('returned %d times, last with %s, all that the largest worker has', h.returns + 1,
                                      bytes_text(h.mem)))
        end
        local from = bytes_text(promised)
        if h.step == AUTO_STEP then from = format('auto (%s)', from) end
        h.mem, h.step, h.flags = need, mem_step(need), with_flag(h.flags, FLAG_RAISED)
        return entry ~= '' and with_reason(entry, function(reason)
            return format('%s; min_dram raised from %s to %s', reason, from, bytes_text(need))
        end) or entry, true
    end

    made.raising = {raise = raise}
    return made.raising
end
