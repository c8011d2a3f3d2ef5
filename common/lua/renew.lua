-- renew: a worker lives. Its lease covers all it holds.
--
-- ARGV  1 worker   2 session   3 lease_ms   4 count and 5 digest of what it holds (common/store.h)
--       6 stats (JSON, opaque)
-- Answer {status, want, due, id, ...}: status 'ok', 'gone' (register), or 'mismatch' (reconcile);
--       want 'run', 'drain' or 'stop'; due as in claim; ids whose cancelling was asked for

even_when_full()
local worker, session = ARGV[1], ARGV[2]
local lease_ms, held_count, held_digest, stats = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5], ARGV[6]

local me = call('HMGET', worker_key(worker), 'session', 'want')
if me[1] ~= session then return {'gone', 'run', -1} end

local function digest()
    local sum = 0
    for _, entry in ipairs(call('HVALS', held_key(worker))) do
        local try, nonce = held_parts(entry)
        sum = (sum + tonumber(sub(nonce, 1, 12), 16) + tonumber(sub(nonce, 17, 20), 16) * 7919 + try) %
              2 ^ 48
    end
    return format('%.0f', sum)
end

local status = 'ok'
if call('HLEN', held_key(worker)) ~= held_count or digest() ~= held_digest then status = 'mismatch' end

call('HSET', worker_key(worker), 'report', NOW, 'lease', lease_ms, 'stats', stats)
call('HDEL', worker_key(worker), 'state')
call('SADD', WORKERS, worker)
call('ZADD', LEASE, NOW + lease_ms, worker)
renewed_now(lease_ms)

local answer = {status, me[2] or 'run', next_due()}
for _, id in ipairs(call('SMEMBERS', cancel_key(worker))) do answer[#answer + 1] = id end
return answer
