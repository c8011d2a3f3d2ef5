-- report: what became of tries. A report that is asked again, or comes too late, changes nothing.
--
-- ARGV  1 worker   2 max_losses   3 bytes all outputs together may take, 0: no limit
--       then for each try: id, try, nonce, outcome, delay_ms, entry, output, memory
--       outcome  finished; failed or timeout (delay_ms: wait before the next try, -1: no more);
--                cancelled; returned (memory: counted); released (drain, not started: uncounted);
--                tempfail (delay_ms); lost (its supervisor died)
--       entry    of the try log, common/trylog.h; '' for released tries that never started
--       output   captured output, common/trylog.h; '' for none
--       memory   what was learned of it, '' for nothing: u8 rung of the peak, u48 peak, u48 promised, u48 need (of
--                a returned try that took more than it was promised: what the next is to ask for; else 0), all in
--                bytes; then digest and key of its family (common/family.h), if a finished one is to be counted
-- Answer {due, answer, ...}: recorded; yours (this very report was recorded before); stale (another
--       try owns the task); unknown (no such task). due as in claim.

even_when_full()
local worker, max_losses, keep_bytes = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local WIDTH, FIRST = 8, 4
local AVOID_MS = 2000
local MEMORY_BYTES = 19 -- of the numbers

for i = FIRST, #ARGV, WIDTH do
    if not OUTCOME[ARGV[i + 3]] or ARGV[i + 3] == 'dependency' then
        return redis.error_reply('ERR report: unknown outcome ' .. tostring(ARGV[i + 3]))
    end
end

local ids = {}
for i = FIRST, #ARGV, WIDTH do ids[#ids + 1] = ARGV[i] end
local heads = fetch(ids)
local holds = {}
for i = 1, #ids, 1000 do
    local part = call('HMGET', held_key(worker), unpack(ids, i, min(i + 999, #ids)))
    for j = 1, #part do holds[i + j - 1] = part[j] end
end

local output_args, order, output_bytes, left = {}, {}, 0, {}
local finished, failed = 0, 0

-- There may be an earlier one, even of a try of the same number: where the AOF lost a claim, that number was given out
-- again, and the first one's worker may have taken the task back since.
local function keep_output(id, try, output)
    if output == '' then return end
    output_bytes = output_bytes - call('HSTRLEN', OUTPUT, id)
    output_args[#output_args + 1] = id
    output_args[#output_args + 1] = output
    order[#order + 1] = format('%s.%d', id, try)
    output_bytes = output_bytes + #output
end

local function again_later(id, h, delay_ms)
    if delay_ms > 0 then to_delayed(id, h, delay_ms) else to_todo(id, h) end
end

local ENDS = {}

function ENDS.finished(id, h)
    finished = finished + 1
    move(id, h, FINISHED)
    save(id, h)
end

function ENDS.failed(id, h, delay_ms)
    failed = failed + 1
    h.failures = one_more(h.failures)
    if delay_ms < 0 then
        move(id, h, FAILED)
        save(id, h)
    else
        call('HSET', AVOID, id, format('%s %d', worker, NOW + delay_ms + AVOID_MS))
        again_later(id, h, delay_ms)
    end
end
ENDS.timeout = ENDS.failed

function ENDS.cancelled(id, h)
    move(id, h, CANCELLED)
    save(id, h)
end

function ENDS.returned(id, h)
    h.returns = one_more(h.returns)
    give_back(id, h)
end

-- Returned, and there is no use in another try.
function ENDS.impossible(id, h)
    h.returns = one_more(h.returns)
    move(id, h, FAILED)
    save(id, h)
end

ENDS.released = give_back

function ENDS.tempfail(id, h, delay_ms) again_later(id, h, max(delay_ms, 1)) end

local function record(i)
    local base = FIRST + (i - 1) * WIDTH
    local id, try, nonce, outcome = ids[i], tonumber(ARGV[base + 1]), ARGV[base + 2], ARGV[base + 3]
    local delay_ms, entry, output = tonumber(ARGV[base + 4]), ARGV[base + 5], ARGV[base + 6]
    local memory = ARGV[base + 7]
    local h, hold = heads[i], holds[i]
    if not h then return 'unknown' end
    local token = ARGV[base + 1] .. '.' .. nonce .. '.' -- what its held entry begins with
    if left[id] == token then return 'yours' end
    if left[id] or not hold or sub(hold, 1, #token) ~= token or h.state ~= IN_PROGRESS then
        if tries().recorded(id, try, nonce) then return 'yours' end
        count('stale', 1)
        return 'stale'
    end
    left[id] = token
    if outcome == 'lost' then
        if has_flag(h.flags, FLAG_CANCEL) then call('SREM', cancel_key(worker), id) end
        local _, _, start_ms = held_parts(hold)
        tries().lose(id, h, worker, start_ms, max_losses, 'its supervisor died', nonce)
        return 'recorded'
    end
    keep_output(id, try, output)
    if has_flag(h.flags, FLAG_CANCEL) then
        h.flags = without_flag(h.flags, FLAG_CANCEL)
        call('SREM', cancel_key(worker), id)
        if outcome ~= 'finished' then outcome = 'cancelled' end
    end
    if outcome == 'finished' and #memory > MEMORY_BYTES then
        families().add(memory, family_of(h.requires) ~= nil)
    elseif outcome == 'returned' and memory ~= '' then
        local _, peak, promised, need = unpack_struct('>BI6I6I6', memory)
        local possible = true
        if need > 0 then entry, possible = raising().raise(h, entry, peak, promised, need) end
        if not possible then outcome = 'impossible' end
    end
    if entry ~= '' then log_try(id, entry) end
    ENDS[outcome](id, h, delay_ms)
    return 'recorded'
end

local answers = {0}
for i = 1, #ids do answers[i + 1] = record(i) end

local gone = {}
for id in pairs(left) do gone[#gone + 1] = id end
if #gone > 0 then
    call_many('HDEL', RUNNING, gone, 1)
    call_many('HDEL', held_key(worker), gone, 1)
end
if finished > 0 then
    call('HINCRBY', worker_key(worker), 'finished', finished)
    call('HDEL', worker_key(worker), 'failing')
    count('tries_finished', finished)
end
if failed > 0 then
    call('HINCRBY', worker_key(worker), 'failed', failed)
    if finished == 0 then call('HINCRBY', worker_key(worker), 'failing', failed) end
end
if #output_args > 0 then
    call_many('HSET', OUTPUT, output_args, 2)
    call_many('RPUSH', OUTPUT_ORDER, order, 1)
    local total = call('HINCRBY', COUNT, 'output_bytes', output_bytes)
    if keep_bytes > 0 and total > keep_bytes then outputs().trim(total, keep_bytes) end
end
if made.families then families().write() end
flush()
fan_out()
answers[1] = next_due()
return answers
