-- outputs: keeping them within their bound.

local function outputs()
    if made.outputs then return made.outputs end
    -- The output that an item ID.TRY of the order list stands for; nil when it was dropped, removed or
    -- replaced by that of a later try: the number in its first two bytes tells.
    local function output_of(item)
        local id, try = match(item, '^(%w+)%.(%d+)$')
        local output = call('HGET', OUTPUT, id)
        if output and output ~= '' and unpack_struct('>H', output) == tonumber(try) then return output, id end
    end

    -- Drops the oldest outputs until they fit; an empty value marks a dropped one.
    local function trim_outputs(total, keep_bytes)
        local dropped = 0
        for _ = 1, BATCH do
            if total - dropped <= keep_bytes then break end
            local item = call('LPOP', OUTPUT_ORDER)
            if not item then break end
            local output, id = output_of(item)
            if output then
                call('HSET', OUTPUT, id, '')
                dropped = dropped + #output
            end
        end
        if dropped > 0 then count('output_bytes', -dropped) end
    end

    made.outputs = {output_of = output_of, trim = trim_outputs}
    return made.outputs
end
