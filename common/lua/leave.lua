-- leave: a worker goes for good. What it still holds goes back to todo, uncounted.
--
-- ARGV  1 worker   2 session
-- Answer 'ok', 'again' (more is left: call again) or 'gone'

even_when_full()
local worker, session = ARGV[1], ARGV[2]
if call('HGET', worker_key(worker), 'session') ~= session then return 'gone' end

call('ZREM', IDLE, worker)
local held = holders().some_held(worker)
for i = 1, #held, 2 do
    local h = fetch({held[i]})[1]
    release_hold(held[i], worker)
    if h and h.state == IN_PROGRESS and h.tries == held_parts(held[i + 1]) then
        give_back(held[i], h)
    end
end
flush()
if call('EXISTS', held_key(worker)) == 1 then return 'again' end
call('ZREM', LEASE, worker)
call('SREM', WORKERS, worker)
call('DEL', worker_key(worker), held_key(worker), cancel_key(worker))
return 'ok'
