-- Reads KEYS[1], or each of several KEYS, in order: false if it is absent, else { value, version, deadline }. The
-- deadline is in milliseconds since 1970 by this server's clock, -1 for never. What it finds and cannot read, it
-- says: { false, reason }.

-- Before Redis 7 there is only what is left. The clock may go on between the two questions, and the deadline would
-- seem to move: they are asked within one millisecond.
local function deadline_of(key)
    local function now_ms()
        local now = redis.call('TIME')
        return math.floor(now[1] * 1000 + now[2] / 1000)
    end
    local asked, left
    repeat
        asked = now_ms()
        left = redis.call('PTTL', key)
    until now_ms() == asked
    return asked + left
end

local function read(key)
    local fields = redis.pcall('HMGET', key, 'data', 'version')
    local value, version
    if not fields.err then
        value, version = fields[1], fields[2]
        if not value and not version then
            if redis.call('EXISTS', key) == 0 then
                return false
            end
            return { false, 'a hash without the fields data and version' }
        end
        if not value or not version then
            return { false, 'a hash without the field ' .. (value and 'version' or 'data') }
        end
    else
        if string.sub(fields.err, 1, 9) ~= 'WRONGTYPE' then
            return fields
        end
        local kind = redis.call('TYPE', key).ok
        if kind == 'string' then
            -- What the first versions of Dapr wrote. Its version is made of what it holds.
            value = redis.call('GET', key)
            version = string.format('%.0f', tonumber(string.sub(redis.sha1hex(value), 1, 13), 16))
        elseif kind == 'ReJSON-RL' then
            value = redis.pcall('JSON.GET', key, '.data')
            version = redis.pcall('JSON.GET', key, '.version')
            if type(value) ~= 'string' or type(version) ~= 'string' then
                return { false, 'a JSON document without the fields data and version' }
            end
        else
            return { false, 'a ' .. kind }
        end
    end

    if redis.call('PTTL', key) < 0 then
        return { value, version, -1 }
    end
    local deadline = redis.pcall('PEXPIRETIME', key)
    if type(deadline) == 'number' then
        return { value, version, deadline }
    end
    return { value, version, deadline_of(key) }
end

if #KEYS == 1 then
    return read(KEYS[1])
end
local answers = {}
for i, key in ipairs(KEYS) do
    answers[i] = read(key)
end
return answers
