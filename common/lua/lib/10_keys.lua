-- The files of lib/, in their order, are put before each operation at build time. This one: keys, time,
-- and small helpers.
--
-- KEYS[1] is the queue, `distcomp:{NAME}`; every other key is derived from it (one Cluster slot).
-- Sections that not every call needs are functions that make them when they are first called, and keep them in
-- `made`: what a call does not need costs it one closure (making all of them took half of a claim's time).
--
-- An operation works on tables in memory (records, groups, pushes, counts) and writes them with flush()
-- at its end, so that a batch costs a fixed number of Redis calls and a script that stops for bad
-- arguments before flush() has changed nothing. Records are drawn in docs/protocol.md.

local Q = KEYS[1]
local made = {}
local call = redis.call
local sub, byte, format, match = string.sub, string.byte, string.format, string.match
local pack, unpack_struct = struct.pack, struct.unpack
local floor, min, max = math.floor, math.min, math.max

local WAITING, TODO, IN_PROGRESS, FINISHED, FAILED, DELAYED, HELD, CANCELLED = 1, 2, 3, 4, 5, 6, 7, 8
local STATE_NAME = {'waiting', 'todo', 'in_progress', 'finished', 'failed', 'delayed', 'held',
                    'cancelled'}
local FLAG_DEPENDANTS, FLAG_CANCEL, FLAG_AFTER, FLAG_RAISED = 1, 2, 4, 16

-- What became of a try; the numbers are those of common/trylog.h.
local OUTCOME = {finished = 1, failed = 2, timeout = 3, cancelled = 4, returned = 5, released = 6,
                 tempfail = 7, lost = 8, dependency = 9}

local BATCH = 500         -- records a call may touch
local AUTO_STEP = 255

local function key(name) return Q .. ':' .. name end
local TASK, TRY, OUTPUT = key('task'), key('try'), key('output')
local OUTPUT_ORDER, SHAPE, DELAYED_KEY = key('output_order'), key('shape'), key('delayed')
local RUNNING, COUNT, NAME, AFTER = key('running'), key('count'), key('name'), key('after')
local AWAIT, FANOUT, LEASE, IDLE = key('await'), key('fanout'), key('lease'), key('idle')
local FINISHED_KEY, FAILED_KEY, AVOID, LOAD = key('finished'), key('failed'), key('avoid'), key('load')
local WORKERS, RESERVE = key('workers'), key('reserve')
local NEED, FAMILIES = key('need'), key('families')
local function family_key(digest) return key('family:' .. digest) end
local function worker_key(name) return key('worker:' .. name) end
local function held_key(name) return key('held:' .. name) end
local function cancel_key(name) return key('cancel:' .. name) end
local function list_key(shape) return key('todo:' .. shape) end
local function dependants_key(ref) return key('dependants:' .. ref) end
local function open_key(load) return key('open:' .. string.format('%d', load)) end
local function wake_channel(name) return key('wake:' .. name) end

local time = call('TIME')
local NOW = time[1] * 1000 + floor(time[2] / 1000)

local function has_flag(flags, flag) return flags ~= 0 and floor(flags / flag) % 2 == 1 end
local function with_flag(flags, flag) return has_flag(flags, flag) and flags or flags + flag end
local function without_flag(flags, flag) return has_flag(flags, flag) and flags - flag or flags end

-- Writes a table of arguments in pieces that fit Lua's stack. step: arguments that belong together.
local function call_many(command, first, args, step)
    local piece = 1000 * step
    for i = 1, #args, piece do
        call(command, first, unpack(args, i, min(i + piece - 1, #args)))
    end
end

-- For operations that must go on when Redis is full (maxmemory), since they keep promises or free memory:
-- Redis refuses a script for want of memory only before its first write, and this one needs none.
local function even_when_full() call('HDEL', COUNT, '') end
