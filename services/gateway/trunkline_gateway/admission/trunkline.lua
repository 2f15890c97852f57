#!lua name=trunkline
-- Limits and budgets, decided where they are kept. Rules and their maths are those of trunkline_policy.{windows,budgets};
-- a test runs both side by side. Works on Valkey and on Redis from 7 on, in one slot of a cluster.
--
-- Every key is a hash. Of a window: cell of time -> count. Of a concurrency limit: cell in which leases run out -> count.
-- Of a budget: p -> start of the period, s -> spent, and cell in which leases run out -> reserved, in nano-dollars.
--
-- Version 2 renews leases, reads without writing, and does an admission that is asked for twice once. In version 3 an
-- operation that fails fails alone, and what counts always has a time at which it goes. What gateways of older versions
-- ask for goes by the old names and means what it did.

local VERSION = 3
local CELLS = 20
local LEASE_CELL_MS = 5000
local SETTLED_MS = 120000 -- how long a settled request is remembered, so that one settled twice is settled once
local AFTER_PERIOD_MS = 86400000
local RETRY_CONCURRENT_MS = 1000
local NEVER = -1
local FAILED = -1 -- in place of the number of the rule that refused
local EXACT = 9007199254740992 -- whole numbers are exact so far
local TTL_MAX_MS = 315360000000 -- ten years: a longer one may be refused when something has been counted already
local SAID_MAX = 200

local WINDOW, CONCURRENT, BUDGET = 1, 2, 3
local ADMIT, SETTLE, RENEW = 1, 2, 3

-- Libraries of Lua are there when a function runs, not while it is loaded.
local function floor(number)
    return math.floor(number)
end

local function max(a, b)
    return math.max(a, b)
end

local function whole(number)
    return string.format('%.0f', number)
end

local function clock(given)
    if given > 0 then return given end
    local time = redis.call('TIME')
    return tonumber(time[1]) * 1000 + floor(tonumber(time[2]) / 1000)
end

local function read(key)
    local flat, cells, named, empty = redis.call('HGETALL', key), {}, {}, true
    for i = 1, #flat, 2 do
        local cell = tonumber(flat[i])
        if cell then cells[cell] = tonumber(flat[i + 1]) else named[flat[i]] = tonumber(flat[i + 1]) end
        empty = false
    end
    return cells, named, empty
end

-- Splits cells into the sum of those that `counts` and the names of the others.
local function split(cells, counts)
    local used, stale = 0, {}
    for cell, count in pairs(cells) do
        if counts(cell) then used = used + count else stale[#stale + 1] = whole(cell) end
    end
    return used, stale
end

local function drop(key, stale)
    if #stale > 0 then redis.call('HDEL', key, unpack(stale)) end
end

-- Moves the end of a key forward, never back. One that was made anew has none yet, whoever made it.
local function keep(key, ttl_ms)
    local ttl = whole(max(1, math.min(ttl_ms, TTL_MAX_MS)))
    if redis.call('PEXPIRE', key, ttl, 'NX') == 0 then redis.call('PEXPIRE', key, ttl, 'GT') end
end

-- A time as the gateways can read it, whatever a window is said to be.
local function exactly(number)
    return max(-EXACT, math.min(number, EXACT))
end

local function row(remaining, reset)
    return {max(0, remaining), exactly(reset)}
end

local function in_window(now, width)
    local current = floor(now / width)
    return function(cell) return cell >= current - CELLS and cell <= current + CELLS end
end

local function still_leased(now)
    return function(cell) return cell * LEASE_CELL_MS > now end
end

local function lease_cell(now, lease_ms)
    return floor((now + lease_ms) / LEASE_CELL_MS) + 1
end

local function period_of(bounds, now)
    local index = 1
    for i = 2, #bounds do
        if bounds[i] <= now then index = i end
    end
    return bounds[index], bounds[index + 1]
end

local function window_wait(cells, counts, now, width, limit, cost, used)
    if cost > limit then return NEVER end
    local order = {}
    for cell in pairs(cells) do
        if counts(cell) then order[#order + 1] = cell end
    end
    table.sort(order)
    local excess = used + cost - limit
    for _, cell in ipairs(order) do
        excess = excess - cells[cell]
        if excess <= 0 then return (cell + CELLS + 1) * width - now end
    end
    return NEVER
end

-- What a lease key holds: {at, lease_ms}, counted from when the request was admitted; nil where there is none.
-- `anew`: it was not there when it was renewed, so nobody knows whether windows have counted the request.
local function standing(state)
    if not state then return nil end
    local at, lease_ms, anew = string.match(state, '^(%d+) (%d+)( ?a?)$')
    return at and {at = tonumber(at), lease_ms = tonumber(lease_ms), anew = anew == ' a'} or nil
end

local function remember(key, lease, ttl_ms)
    local state = whole(lease.at) .. ' ' .. whole(lease.lease_ms) .. (lease.anew and ' a' or '')
    redis.call('SET', key, state, 'PX', whole(ttl_ms))
end

-- Each look returns: remaining before the cost, reset, wait (0: it fits), and what take needs.
local look, take, settle, move = {}, {}, {}, {}

look[WINDOW] = function(key, limit, cost, width, now)
    local cells = read(key)
    local counts = in_window(now, width)
    local used, stale = split(cells, counts)
    local newest = nil
    for cell, count in pairs(cells) do
        if count > 0 and counts(cell) and (not newest or cell > newest) then newest = cell end
    end
    local wait = 0
    if used + cost > limit then wait = window_wait(cells, counts, now, width, limit, cost, used) end
    local reset = newest and (newest + CELLS + 1) * width - now or 0
    return limit - used, reset, wait, {stale = stale}
end

take[WINDOW] = function(key, cost, width, now, _, seen)
    drop(key, seen.stale)
    redis.call('HINCRBY', key, whole(floor(now / width)), whole(cost))
    keep(key, (CELLS + 2) * width)
    return (floor(now / width) + CELLS + 1) * width - now
end

look[CONCURRENT] = function(key, limit, cost, _, now)
    local cells = read(key)
    local used, stale = split(cells, still_leased(now))
    local wait = used + cost > limit and RETRY_CONCURRENT_MS or 0
    return limit - used, 0, wait, {stale = stale}
end

take[CONCURRENT] = function(key, cost, _, now, lease_ms, seen)
    drop(key, seen.stale)
    redis.call('HINCRBY', key, whole(lease_cell(now, lease_ms)), whole(cost))
    keep(key, lease_ms + 2 * LEASE_CELL_MS)
    return 0
end

look[BUDGET] = function(key, limit, cost, bounds, now)
    local cells, named, empty = read(key)
    local period, ending = period_of(bounds, now)
    local over = named.p ~= nil and named.p < period
    local used, stale = 0, {}
    if over or empty then
        for cell in pairs(cells) do stale[#stale + 1] = whole(cell) end
    else
        used, stale = split(cells, still_leased(now))
        used = used + (named.s or 0)
    end
    local reset = ending and ending - now or 0
    local wait = 0
    if used + cost > limit then wait = ending and cost <= limit and ending - now or NEVER end
    local seen = {stale = stale, new = empty, over = over, period = period, ending = ending}
    return limit - used, reset, wait, seen
end

-- Begins the period that `now` is in, unless it has begun. TTLs only ever move forward with it.
local function begin(key, now, seen)
    drop(key, seen.stale)
    if seen.new or seen.over then redis.call('HSET', key, 'p', whole(seen.period), 's', '0') end
    if seen.ending then
        redis.call('PEXPIRE', key, whole(math.min(seen.ending - now + AFTER_PERIOD_MS, TTL_MAX_MS)))
    end
end

take[BUDGET] = function(key, cost, _, now, lease_ms, seen)
    begin(key, now, seen)
    redis.call('HINCRBY', key, whole(lease_cell(now, lease_ms)), whole(cost))
    return seen.ending and seen.ending - now or 0
end

-- Takes `count` out of a cell, never below nothing; a cell that is gone stays gone.
local function less(key, cell, count)
    local there = tonumber(redis.call('HGET', key, whole(cell)))
    if not there then return end
    if there > count then
        redis.call('HINCRBY', key, whole(cell), whole(-count))
    else
        redis.call('HDEL', key, whole(cell))
    end
end

-- `lease` is {at, lease_ms} for a reservation that stands, nil for one that never was or has run out.
settle[WINDOW] = function(key, estimate, actual, width, now, lease)
    local more = actual - (lease and not lease.anew and estimate or 0)
    if more > 0 then
        take[WINDOW](key, more, width, now, 0, {stale = {}})
    elseif more < 0 then
        less(key, floor(lease.at / width), -more)
    end
end

settle[CONCURRENT] = function(key, estimate, _, _, _, lease)
    if lease then less(key, lease_cell(lease.at, lease.lease_ms), estimate) end
end

-- Takes a reservation out of the period that `at` is in. False where that period is over and done with.
local function open_period(key, estimate, bounds, now, lease, at)
    local period, ending = period_of(bounds, at)
    if ending and ending <= now then return false end
    local stored = tonumber(redis.call('HGET', key, 'p'))
    if stored and stored > period then return false end
    if not stored or stored < period then
        local cells = read(key)
        local stale = {}
        for cell in pairs(cells) do stale[#stale + 1] = whole(cell) end
        begin(key, now, {stale = stale, new = true, period = period, ending = ending})
    elseif lease then
        less(key, lease_cell(lease.at, lease.lease_ms), estimate)
    end
    return true
end

-- Money counts in the period in which the request was admitted; one that is over is left alone.
settle[BUDGET] = function(key, estimate, actual, bounds, now, lease, at)
    if not open_period(key, estimate, bounds, now, lease, lease and lease.at or at) then return end
    if actual > 0 then redis.call('HINCRBY', key, 's', whole(actual)) end
end

-- Moves a reservation to the cell in which it now runs out; `lease` is nil where it had run out already.
move[WINDOW] = function() end

move[CONCURRENT] = function(key, count, _, now, lease, longer)
    if lease then less(key, lease_cell(lease.at, lease.lease_ms), count) end
    redis.call('HINCRBY', key, whole(lease_cell(longer.at, longer.lease_ms)), whole(count))
    keep(key, longer.at + longer.lease_ms - now + 2 * LEASE_CELL_MS)
end

move[BUDGET] = function(key, count, bounds, now, lease, longer)
    if not open_period(key, count, bounds, now, lease, longer.at) then return end
    redis.call('HINCRBY', key, whole(lease_cell(longer.at, longer.lease_ms)), whole(count))
end

-- What an admission is told that was done before: its reply was lost, or it comes after its own settlement.
local function known(keys, rules, state, now)
    local rows, lease = {}, standing(state)
    for i, rule in ipairs(rules) do
        local remaining, reset = look[rule[1]](keys[rule[2]], rule[3], 0, rule[5], now)
        rows[i] = row(remaining, reset)
    end
    return {0, 0, lease and lease.at or now, rows}
end

-- op: {ADMIT, lease key or 0, lease_ms, rules}; rule: {kind, key, limit, cost, width or bounds}
local function admit(keys, op, now)
    local rules, rows, seen, refused, longest = op[4], {}, {}, 0, 0
    local state = op[2] > 0 and redis.call('GET', keys[op[2]])
    if state then return known(keys, rules, state, now) end
    for i, rule in ipairs(rules) do
        local remaining, reset, wait, found = look[rule[1]](keys[rule[2]], rule[3], rule[4], rule[5], now)
        rows[i], seen[i] = row(remaining, reset), found
        if wait ~= 0 and longest ~= NEVER and (wait == NEVER or wait > longest) then refused, longest = i, wait end
    end
    if refused > 0 then return {refused, exactly(longest), now, rows} end
    for i, rule in ipairs(rules) do
        local reset = take[rule[1]](keys[rule[2]], rule[4], rule[5], now, op[3], seen[i])
        rows[i] = row(rows[i][1] - rule[4], reset)
    end
    if op[2] > 0 then remember(keys[op[2]], {at = now, lease_ms = op[3]}, op[3]) end
    return {0, 0, now, rows}
end

-- op: {SETTLE, lease key, admitted at, rules}; rule: {kind, key, estimate, actual, width or bounds}
local function settled(keys, op, now)
    local state = redis.call('GET', keys[op[2]])
    if state == 'settled' then return {0, 0, now, {}} end
    local lease = standing(state)
    for _, rule in ipairs(op[4]) do
        settle[rule[1]](keys[rule[2]], rule[3], rule[4], rule[5], now, lease, op[3])
    end
    redis.call('SET', keys[op[2]], 'settled', 'PX', whole(SETTLED_MS))
    return {0, 0, now, {}}
end

-- op: {RENEW, lease key, lease_ms, rules, admitted at}; rule: {kind, key, estimate, 0, width or bounds}
-- A lease that has run out, or was lost with a server, stands again: its request is under way.
local function renewed(keys, op, now)
    local key = keys[op[2]]
    local state = redis.call('GET', key)
    if state == 'settled' then return {0, 0, now, {}} end
    local lease = standing(state)
    local at = lease and lease.at or op[5]
    local lease_ms = max(now + op[3] - at, lease and lease.lease_ms or 0)
    local longer = {at = at, lease_ms = lease_ms, anew = not lease or lease.anew}
    for _, rule in ipairs(op[4]) do
        move[rule[1]](keys[rule[2]], rule[3], rule[5], now, lease, longer)
    end
    remember(key, longer, at + lease_ms - now)
    return {0, 0, now, {}}
end

local does = {[ADMIT] = admit, [SETTLE] = settled, [RENEW] = renewed}

-- What an operation that has failed says, in place of its reply.
local function failure(error, now)
    local said = type(error) == 'table' and error.err or tostring(error)
    return {FAILED, 0, now, {}, string.sub(said, 1, SAID_MAX)}
end

-- ARGV: time in milliseconds since the epoch or 0 for the server's, operations as MessagePack. Replies in kind.
local function work(keys, args)
    local now, replies = clock(tonumber(args[1])), {}
    for i, op in ipairs(cmsgpack.unpack(args[2])) do
        local done, reply = pcall(does[op[1]], keys, op, now)
        replies[i] = done and reply or failure(reply, now)
    end
    return cmsgpack.pack(replies)
end

-- The same for gateways that do not know of operations that fail alone: the first that does ends the call.
local function work_or_fail(keys, args)
    local now, replies = clock(tonumber(args[1])), {}
    for i, op in ipairs(cmsgpack.unpack(args[2])) do
        replies[i] = does[op[1]](keys, op, now)
    end
    return cmsgpack.pack(replies)
end

-- ARGV: time as above, rules as MessagePack: {kind, key, width or bounds}. Replies {used, reset} of each. Writes nothing.
local function peek(keys, args)
    local now, rows = clock(tonumber(args[1])), {}
    for i, rule in ipairs(cmsgpack.unpack(args[2])) do
        local remaining, reset = look[rule[1]](keys[rule[2]], 0, 0, rule[3], now)
        rows[i] = {0 - remaining, exactly(reset)}
    end
    return cmsgpack.pack(rows)
end

-- KEYS: the set of gateways. ARGV: who reports, for how long, in milliseconds. Replies how many are there.
local function beat(keys, args)
    local now = clock(0)
    redis.call('ZREMRANGEBYSCORE', keys[1], '-inf', whole(now))
    redis.call('ZADD', keys[1], whole(now + tonumber(args[2])), args[1])
    redis.call('PEXPIRE', keys[1], args[2])
    return redis.call('ZCARD', keys[1])
end

redis.register_function('trunkline_work', work_or_fail)
redis.register_function('trunkline_work_2', work_or_fail)
redis.register_function('trunkline_work_3', work)
redis.register_function('trunkline_beat', beat)
redis.register_function{
    function_name = 'trunkline_version',
    callback = function() return VERSION end,
    flags = {'no-writes', 'allow-stale'},
}
redis.register_function{
    function_name = 'trunkline_peek',
    callback = peek,
    flags = {'no-writes', 'allow-stale'},
}
