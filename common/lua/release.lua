-- release: lets held tasks go on, to waiting while their dependencies last, else to todo.
--
-- ARGV  ids   Answer {released, skipped}

local heads = fetch(ARGV)
local changed = 0
for i = 1, #ARGV do
    local id, h = ARGV[i], heads[i]
    if h and h.state == HELD then
        changed = changed + 1
        if has_flag(h.flags, FLAG_AFTER) and call('HEXISTS', AWAIT, id) == 1 then
            move(id, h, WAITING)
            save(id, h)
        else
            to_todo(id, h)
        end
    end
end
flush()
return {changed, #ARGV - changed}
