-- hold: keeps tasks that have not started from starting.
--
-- ARGV  ids   Answer {held, skipped}

even_when_full()
local heads = fetch(ARGV)
local changed = 0
for i = 1, #ARGV do
    local h = heads[i]
    if h and (h.state == TODO or h.state == WAITING or h.state == DELAYED) then
        changed = changed + 1
        move(ARGV[i], h, HELD)
        save(ARGV[i], h)
    end
end
flush()
return {changed, #ARGV - changed}
