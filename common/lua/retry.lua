-- retry: queues failed and cancelled tasks again, with their counts of failures, losses and returns at 0. One whose
-- dependency has failed is skipped, unless that one comes along: repeat until nothing is queued, since
-- the ids of a chain may come in any order, in several calls.
--
-- ARGV  ids   Answer {queued, skipped}

local heads = fetch(ARGV)
local changed = 0

local function retry(i)
    local h = heads[i]
    if h and (h.state == FAILED or h.state == CANCELLED) and dependencies().restart(ARGV[i], h) then
        changed = changed + 1
    end
end

for i = 1, #ARGV do retry(i) end
for i = #ARGV, 1, -1 do retry(i) end
flush()
return {changed, #ARGV - changed}
