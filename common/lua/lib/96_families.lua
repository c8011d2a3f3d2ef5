-- families: counts the peaks of finished tasks, and computes what their families need. common/peaks.c is the reference.

local function families()
    if made.families then return made.families end
    local FIRST, MOST, NEED_PERCENT, HOLD_PERCENT = 5, 512, 95, 50
    local FAMILIES_MOST, FORGOTTEN, SEEN_MS = 10000, 20, 1000
    local met, order = {}, {} -- in this call, by digest and key

    -- memory: as in report.lua. auto: the task asked for nothing by itself.
    local function add(memory, auto)
        local name = sub(memory, 20)
        local f = met[name]
        if not f then
            f = {key = sub(name, 17), digest = sub(name, 1, 16), steps = {}, count = 0, max = 0, used = 0, asked = 0}
            met[name] = f
            order[#order + 1] = f
        end
        local step, peak, asked = unpack_struct('>BI6I6', memory)
        f.steps[step] = (f.steps[step] or 0) + 1
        f.count = f.count + 1
        if peak > f.max then f.max = peak end
        if asked > 0 and not auto then
            f.used, f.asked, f.request = f.used + floor(peak / 1024), f.asked + floor(asked / 1024), asked
        end
    end

    local function quantile(steps, count, percent)
        local wanted, seen = floor((count * percent + 99) / 100), 0
        for step = 0, 254 do
            seen = seen + (steps[step] or 0)
            if seen > 0 and seen >= wanted then return step_bytes(step) end
        end
        return 0
    end

    -- All counts of a family as they are in Redis, for a new need.
    local function read_steps(hash)
        local flat, steps, count = call('HGETALL', hash), {}, 0
        for i = 1, #flat, 2 do
            local step = tonumber(flat[i])
            if step then
                steps[step] = tonumber(flat[i + 1])
                count = count + steps[step]
            end
        end
        return steps, count
    end

    -- Halves all, so that the newest weigh most.
    local function age(hash, f, steps)
        local gone, top, count = {}, 0, 0
        for step, n in pairs(steps) do
            n = floor(n / 2)
            steps[step] = n > 0 and n or nil
            count = count + n
            if n == 0 then gone[#gone + 1] = step else top = max(top, step_bytes(step)) end
        end
        f.max, f.used, f.asked, f.count = min(f.max, top), floor(f.used / 2), floor(f.asked / 2), count
        local fields = {'count', format('%.0f', count), 'max', format('%.0f', f.max), 'used',
                        format('%.0f', f.used), 'asked', format('%.0f', f.asked)}
        for step, n in pairs(steps) do
            fields[#fields + 1], fields[#fields + 2] = step, n
        end
        call('HSET', hash, unpack(fields))
        if #gone > 0 then call('HDEL', hash, unpack(gone)) end
        return count
    end

    local function forget_oldest()
        local over = call('ZCARD', FAMILIES) - FAMILIES_MOST
        if over <= 0 then return end
        for _, digest in ipairs(call('ZRANGE', FAMILIES, 0, min(over, FORGOTTEN) - 1)) do
            call('UNLINK', family_key(digest))
            call('HDEL', NEED, digest)
            call('ZREM', FAMILIES, digest)
        end
    end

    -- Adds what was met to what is there: two commands a family, more when it is new or its need is due.
    local function write_one(f)
        local hash, names = family_key(f.digest), {'count', 'max', 'used', 'asked', 'fresh', 'seen'}
        for step in pairs(f.steps) do names[#names + 1] = step end
        local old = call('HMGET', hash, unpack(names))
        local count, fresh = (tonumber(old[1]) or 0) + f.count, (tonumber(old[5]) or 0) + f.count
        f.max = max(f.max, tonumber(old[2]) or 0)
        f.used, f.asked = f.used + (tonumber(old[3]) or 0), f.asked + (tonumber(old[4]) or 0)
        local due = count >= FIRST and fresh >= 1 + floor(count / 16)
        local fields = {'count', format('%.0f', count), 'max', format('%.0f', f.max), 'used', format('%.0f', f.used),
                        'asked', format('%.0f', f.asked), 'fresh', due and 0 or fresh}
        for i = 7, #names do
            fields[#fields + 1] = names[i]
            fields[#fields + 1] = format('%.0f', (tonumber(old[i]) or 0) + f.steps[names[i]])
        end
        if not old[1] then
            fields[#fields + 1], fields[#fields + 2] = 'key', f.key
        end
        if f.request then
            fields[#fields + 1], fields[#fields + 2] = 'request', format('%.0f', f.request)
        end
        local seen = tonumber(old[6] or 0)
        if NOW - seen >= SEEN_MS or seen > NOW then
            fields[#fields + 1], fields[#fields + 2] = 'seen', NOW
            call('ZADD', FAMILIES, NOW, f.digest)
        end
        call('HSET', hash, unpack(fields))
        if due or count >= MOST then
            local steps
            steps, count = read_steps(hash)
            while count >= MOST do count = age(hash, f, steps) end
            if due then
                call('HSET', NEED, f.digest, format('%.0f %.0f', quantile(steps, count, NEED_PERCENT),
                                                    quantile(steps, count, HOLD_PERCENT)))
            end
        end
        if not old[1] then forget_oldest() end
    end

    local function write()
        for _, f in ipairs(order) do write_one(f) end
        met, order = {}, {}
    end

    made.families = {add = add, write = write}
    return made.families
end
