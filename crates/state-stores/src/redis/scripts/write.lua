-- Applies the writes, one to each of KEYS, all or none. Each has four arguments:
--   what: 'hash' or 'json', the form to store the value in, or 'delete'
--   condition: '*' for none, '-' for absent, else the version that the key must have
--   lifetime in milliseconds, or '' for ever
--   value
-- Answers one of
--   { 'ok', version or '' for a delete, for each write }
--   { 'conflict', position from 0, version found or '' }
--   { 'foreign', position from 0, what is there }
-- or an error: REFUSED and the server's own if nothing was written; PARTLY and the server's own if something
-- was, which should not happen: what a server refuses it refuses at the first write, and documents that it does
-- not take become hashes.
local ANY, ABSENT = '*', '-'

-- Above it, adding one to a number does not always make another. Source: IEEE 754.
local VERSION_MAX = 2 ^ 53 - 1

-- The server's own error, which Redis 6 puts behind the place in the script.
local function trouble_of(reply)
    return string.match(reply.err, '^@[^:]*: %d+: %-?(.*)$') or reply.err
end

local function refused(reply)
    return redis.error_reply('REFUSED ' .. trouble_of(reply))
end

-- The version of a key and the form that it is in; no form if it is absent; else why it cannot be used.
local function look(key)
    local version = redis.pcall('HGET', key, 'version')
    if type(version) == 'string' then
        return version, 'hash'
    end
    if not version then
        if redis.call('EXISTS', key) == 0 then
            return nil, nil
        end
        return nil, nil, 'a hash without the field version'
    end
    if string.sub(version.err, 1, 9) ~= 'WRONGTYPE' then
        return nil, nil, refused(version)
    end
    local kind = redis.call('TYPE', key).ok
    if kind == 'string' then
        local digest = redis.sha1hex(redis.call('GET', key))
        return string.format('%.0f', tonumber(string.sub(digest, 1, 13), 16)), 'string'
    end
    if kind == 'ReJSON-RL' then
        version = redis.pcall('JSON.GET', key, '.version')
        if type(version) == 'string' then
            return version, 'json'
        end
        return nil, nil, 'a JSON document without the field version'
    end
    return nil, nil, 'a ' .. kind
end

local time = redis.call('TIME')
local clock = time[1] * 1000000 + time[2]

-- What there is of each key now, and the highest version that it has had.
local forms, versions, highest = {}, {}, {}
for i, key in ipairs(KEYS) do
    if highest[key] == nil then
        local version, form, trouble = look(key)
        if trouble then
            if type(trouble) == 'table' then
                return trouble
            end
            return { 'foreign', i - 1, trouble }
        end
        local number = string.match(version or '0', '^%d+$') and tonumber(version or '0')
        if not number or number >= VERSION_MAX then
            return { 'foreign', i - 1, 'a version that is no whole number below 2^53' }
        end
        -- That of a string is no number in a row, and the next need not exceed it.
        highest[key] = form == 'string' and 0 or number
        forms[key], versions[key] = form, version
    end
end
for i, key in ipairs(KEYS) do
    local condition = ARGV[4 * i - 2]
    local holds = condition == ANY
        or (condition == ABSENT and not forms[key])
        or condition == versions[key]
    if not holds then
        return { 'conflict', i - 1, versions[key] or '' }
    end
end

-- What each write makes of its key, of which only the last one has to be done: in a slot that is on its way to
-- another server, a key that was removed cannot be written again.
local answer = { 'ok' }
local last, creates = {}, {}
for i, key in ipairs(KEYS) do
    if ARGV[4 * i - 3] == 'delete' then
        answer[i + 1] = ''
    else
        answer[i + 1] = string.format('%.0f', math.max(highest[key] + 1, clock))
        highest[key] = tonumber(answer[i + 1])
        creates[key] = creates[key] or ARGV[4 * i - 2] == ABSENT
    end
    last[key] = i
end

-- Whether a key that is removed can be written again: whether its slot stays here. A key of the same slot that is not
-- there tells; for a key that no other can be made for, the list of the servers.
local function slot_stays(key)
    local tag = string.match(key, '^[^{]*{([^}]+)}') or (not string.find(key, '}', 1, true) and key)
    if tag then
        local reply = redis.pcall('EXISTS', '{' .. tag .. '}' .. redis.sha1hex(key))
        return not (type(reply) == 'table' and reply.err and string.find(reply.err, 'non local', 1, true))
    end
    local slot, servers = redis.pcall('CLUSTER', 'KEYSLOT', key), redis.pcall('CLUSTER', 'NODES')
    return type(slot) ~= 'number' or type(servers) ~= 'string'
        or not string.find(servers, '[' .. string.format('%.0f', slot) .. '->-', 1, true)
end

for key, i in pairs(last) do
    local what, form = ARGV[4 * i - 3], forms[key]
    -- A key of another form has to go first, and a document that is not taken becomes a hash.
    if what ~= 'delete' and form and (form ~= what or what == 'json') and not slot_stays(key) then
        return redis.error_reply('REFUSED TRYAGAIN the slot is on its way to another server')
    end
end

local written = false
local function write(...)
    local reply = redis.pcall(...)
    if type(reply) == 'table' and reply.err then
        if written then
            return redis.error_reply('PARTLY ' .. trouble_of(reply))
        end
        return refused(reply)
    end
    written = true
end

-- Whether it is the server that takes no writes now, and not the module that does not take this one.
local function is_of_the_server(trouble)
    local code = string.match(trouble.err, '^%-?%u+ (%u+) ')
    return code == 'OOM' or code == 'READONLY' or code == 'MISCONF' or code == 'NOREPLICAS'
end

local function put(key, form, version, lifetime, value)
    local old = forms[key]
    local trouble = old and old ~= form and write('DEL', key)
    if trouble then
        return trouble
    end
    if form == 'json' then
        local marker = creates[key] and ',"first-write":0' or ''
        local document = '{"data":' .. value .. ',"version":' .. version .. marker .. '}'
        trouble = write('JSON.SET', key, '$', document)
        if trouble and not is_of_the_server(trouble) then
            -- Whatever it is that the module does not like, a hash can hold it.
            form = 'hash'
            trouble = old == 'json' and write('DEL', key)
        end
    end
    if trouble or form == 'json' then
        -- Refused, or done.
    elseif creates[key] then
        trouble = write('HSET', key, 'data', value, 'version', version, 'first-write', '0')
    else
        trouble = write('HSET', key, 'data', value, 'version', version)
    end
    if not trouble and lifetime ~= '' then
        trouble = write('PEXPIRE', key, lifetime)
    elseif not trouble and old then
        trouble = write('PERSIST', key)
    end
    return trouble
end

for i, key in ipairs(KEYS) do
    local trouble
    if last[key] ~= i then
        -- Undone by a later one.
    elseif ARGV[4 * i - 3] == 'delete' then
        trouble = forms[key] and write('DEL', key)
    else
        trouble = put(key, ARGV[4 * i - 3], answer[i + 1], ARGV[4 * i - 1], ARGV[4 * i])
    end
    if trouble then
        return trouble
    end
end
return answer
