-- prioritize: gives tasks that have not ended another priority. A running one has it for its next try.
--
-- ARGV  1 priority   then ids   Answer {changed, skipped}

local priority = tonumber(ARGV[1])
local ids = {unpack(ARGV, 2)}
local heads = fetch(ids)
local changed = 0
for i = 1, #ids do
    local id, h = ids[i], heads[i]
    if h and not END_FIELD[h.state] then
        changed = changed + 1
        h.priority = priority
        if h.state == TODO then to_todo(id, h) else save(id, h) end
    end
end
flush()
return {changed, #ids - changed}
