"""What Redis does with slices, each script in one step. Lua's numbers are doubles: exact up to 2**53, which tokens and
microseconds stay below, and printed in full only by `%.0f`.

Under `undercroft:{limits}:` (one slot of a cluster) stand `w:WINDOW`, a hash of the window's sum and of `o:OWNER` with
amount, token, end of the lease and whether it is frozen; `o:OWNER`, the windows of an owner; `leases`, `frozen` and
`windows` to find what has run out or ended; `owners` with the time until which each is known to live.
"""

from typing import Final

PREFIX: Final = "undercroft:{limits}:"

_COMMON: Final = f"""
local prefix = '{PREFIX}'
local leases, frozen, windows, owners = prefix .. 'leases', prefix .. 'frozen', prefix .. 'windows', prefix .. 'owners'
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])

local function told(number) return string.format('%.0f', number) end

local function read(text)
  local amount, token, ends, is_frozen = string.match(text, '^(%S+) (%S+) (%S+) (%S+)$')
  return tonumber(amount), tonumber(token), tonumber(ends), is_frozen
end

local function write(window, owner, amount, token, ends, is_frozen)
  local text = told(amount) .. ' ' .. told(token) .. ' ' .. told(ends) .. ' ' .. is_frozen
  redis.call('HSET', prefix .. 'w:' .. window, 'o:' .. owner, text)
end

local function split(member) return string.match(member, '^(.*)\\n([^\\n]*)$') end
"""

CHANGE: Final = (
    _COMMON
    + """
local window, owner, ends = ARGV[1], ARGV[2], ARGV[3]
local held_amount, held_token, lease_us, before = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
local verb, asked, limit = ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10])
local key, field, member = prefix .. 'w:' .. window, 'o:' .. owner, window .. '\\n' .. owner

if redis.call('EXISTS', key) == 0 then
  if before == '' then return {'unknown'} end
  redis.call('HSET', key, 'sum', before, 'token', told(now), 'first', told(now), 'ends', ends)
  redis.call('ZADD', windows, ends, window)
end

local first, last = tonumber(redis.call('HGET', key, 'first')), tonumber(redis.call('HGET', key, 'token'))
local there = redis.call('HGET', key, field)
local amount, token, lease_ends = held_amount, held_token, 0
if there then
  amount, token, lease_ends = read(there)
elseif held_token >= first then
  return {'lost'}
elseif held_token > 0 then
  -- The window is younger than the slice: Redis had lost it, and its owner says what it has.
  write(window, owner, amount, token, now, '0')
end

local function out()
  local taken, others = tonumber(redis.call('HGET', key, 'sum')), 0
  local all = redis.call('HGETALL', key)
  for place = 1, #all, 2 do
    if string.sub(all[place], 1, 2) == 'o:' then
      local of, _, _, is_frozen = read(all[place + 1])
      taken = taken + of
      if all[place] ~= field and is_frozen == '0' then others = others + 1 end
    end
  end
  return taken, others
end

if token == held_token then
  if verb == 'lease' then
    local taken, others = out()
    local left = limit - taken
    if asked >= 0 and asked <= left then
      amount = amount + math.min(math.max(asked, math.floor(left / (tonumber(ARGV[11]) * (others + 1)))), left)
    end
  else
    amount = amount - asked
  end
end
if token == 0 and amount == 0 then return {'0', '0', told((out()))} end

lease_ends = math.max(lease_ends, now + lease_us)
redis.call('HSET', key, 'token', told(last + 1))
write(window, owner, amount, last + 1, lease_ends, '0')
redis.call('ZADD', leases, told(lease_ends), member)
redis.call('ZADD', owners, told(lease_ends), owner)
redis.call('SREM', frozen, member)
redis.call('SADD', prefix .. 'o:' .. owner, window)
return {told(amount), told(last + 1), told((out()))}
"""
)

RENEW: Final = (
    _COMMON
    + """
local owner, lease_us, kept = ARGV[1], tonumber(ARGV[2]), {}
redis.call('ZADD', owners, told(now + lease_us), owner)
for _, window in ipairs(redis.call('SMEMBERS', prefix .. 'o:' .. owner)) do
  local there = redis.call('HGET', prefix .. 'w:' .. window, 'o:' .. owner)
  if there then
    local amount, token, lease_ends, is_frozen = read(there)
    if is_frozen == '0' then
      lease_ends = math.max(lease_ends, now + lease_us)
      write(window, owner, amount, token, lease_ends, '0')
      redis.call('ZADD', leases, told(lease_ends), window .. '\\n' .. owner)
      local ends = redis.call('HGET', prefix .. 'w:' .. window, 'ends')
      table.insert(kept, {window, ends, owner, told(amount), told(token)})
    end
  else
    redis.call('SREM', prefix .. 'o:' .. owner, window)
  end
end
return kept
"""
)

FREEZE: Final = (
    _COMMON
    + """
for _, member in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', told(now))) do
  local window, owner = split(member)
  local there = redis.call('HGET', prefix .. 'w:' .. window, 'o:' .. owner)
  if there then
    local amount, token, lease_ends = read(there)
    write(window, owner, amount, token, lease_ends, '1')
    redis.call('SADD', frozen, member)
  end
  redis.call('ZREM', leases, member)
end
redis.call('ZREMRANGEBYSCORE', owners, '-inf', told(now))
local found = {}
for _, member in ipairs(redis.call('SMEMBERS', frozen)) do
  local window, owner = split(member)
  local there = redis.call('HGET', prefix .. 'w:' .. window, 'o:' .. owner)
  if there then
    local amount, token = read(there)
    local ends = redis.call('HGET', prefix .. 'w:' .. window, 'ends')
    table.insert(found, {window, ends, owner, told(amount), told(token)})
  else
    redis.call('SREM', frozen, member)
  end
end
return found
"""
)

SETTLE: Final = (
    _COMMON
    + """
local window, owner, held_token, held_frozen, spent = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
local key, member = prefix .. 'w:' .. window, window .. '\\n' .. owner
local there = redis.call('HGET', key, 'o:' .. owner)
if not there then return 0 end
local _, token, _, is_frozen = read(there)
if token ~= held_token or is_frozen ~= held_frozen then return 0 end
redis.call('HDEL', key, 'o:' .. owner)
redis.call('HINCRBY', key, 'sum', spent)
redis.call('ZREM', leases, member)
redis.call('SREM', frozen, member)
redis.call('SREM', prefix .. 'o:' .. owner, window)
return 1
"""
)

FORGET: Final = (
    _COMMON
    + """
local count = 0
for _, window in ipairs(redis.call('ZRANGEBYSCORE', windows, '-inf', '(' .. ARGV[1])) do
  local key = prefix .. 'w:' .. window
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if string.sub(field, 1, 2) == 'o:' then
      local owner = string.sub(field, 3)
      redis.call('ZREM', leases, window .. '\\n' .. owner)
      redis.call('SREM', frozen, window .. '\\n' .. owner)
      redis.call('SREM', prefix .. 'o:' .. owner, window)
      count = count + 1
    end
  end
  redis.call('DEL', key)
  redis.call('ZREM', windows, window)
  count = count + 1
end
return count
"""
)

SHARERS: Final = _COMMON + "return redis.call('ZCOUNT', owners, '(' .. told(now), '+inf')"
