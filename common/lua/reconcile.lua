-- reconcile: after a mismatch in renew, a worker lists all it holds. No claim of its own may be under
-- way. What the queue believes it holds but it does not goes back to todo (a lost claim answer); what it
-- holds and nobody has claimed since is its own again (a lost AOF tail, a lease that ended), unless what became
-- of it is recorded (then the task waits for its next try) or the task was removed and loaded anew since.
--
-- ARGV  1 worker   2 session   then for each task: id, try, nonce, loaded (of the record that was
--       claimed; 0: not known)
-- Answer {status, answer, ...}: status 'ok' or 'gone'; for each task 'yours', 'retaken' or 'stale'
--       (end it, report nothing)

even_when_full()
local worker, session = ARGV[1], ARGV[2]
if call('HGET', worker_key(worker), 'session') ~= session or not has_lease(worker) then
    return {'gone'}
end

local function token(id, try, nonce) return format('%s.%d.%s', id, try, nonce) end

local listed, ids, newest = {}, {}, {}
for i = 3, #ARGV, 4 do
    ids[#ids + 1] = ARGV[i]
    listed[token(ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2])] = true
end
local heads = fetch(ids)

-- Whether a try was one of the task that is there now.
local function is_of(h, loaded) return h and (loaded == 0 or h.loaded == loaded) end

-- A worker lists several tries of a task when the AOF may have lost more than one result: the last counts.
for i, id in ipairs(ids) do
    local try, loaded = tonumber(ARGV[4 * i]), tonumber(ARGV[4 * i + 2])
    if is_of(heads[i], loaded) then newest[id] = max(newest[id] or 0, try) end
end

-- The worker does not have it under the token it was given: somebody else may. (If it lists that token
-- beside another, it is settled there.)
local function drop(id, h, held_try, held_nonce)
    if not held_try or listed[token(id, held_try, held_nonce)] then return end
    release_hold(id, worker)
    if h and h.state == IN_PROGRESS and h.tries == held_try then give_back(id, h) end
end

local function settle(id, try, nonce, loaded, h)
    local entry = call('HGET', held_key(worker), id)
    local held_try, held_nonce
    if entry then held_try, held_nonce = held_parts(entry) end
    if h and h.state == IN_PROGRESS and held_try == try and held_nonce == nonce then return 'yours' end
    if is_of(h, loaded) and h.state == TODO and h.tries <= try and try == newest[id] and
        not tries().recorded(id, try, nonce) then
        h.tries = try
        move(id, h, IN_PROGRESS)
        save(id, h)
        call('HSET', RUNNING, id, worker)
        call('HSET', held_key(worker), id, format('%d.%s.%d', try, nonce, NOW))
        return 'retaken'
    end
    drop(id, h, held_try, held_nonce)
    return 'stale'
end

local answer = {'ok'}
for i = 1, #ids do
    answer[i + 1] =
        settle(ids[i], tonumber(ARGV[4 * i]), ARGV[4 * i + 1], tonumber(ARGV[4 * i + 2]), heads[i])
end

local held = call('HGETALL', held_key(worker))
for i = 1, #held, 2 do
    drop(held[i], fetch({held[i]})[1], held_parts(held[i + 1]))
end
flush()
return answer
