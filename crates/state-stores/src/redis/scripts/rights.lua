-- Which of the commands of the other scripts the user may not run, separated by spaces, and whether documents can be
-- written: 1 or 0. Tries each on the key KEYS[1], or ARGV[1] where keys need not be named, which nobody uses.
local key = KEYS[1] or ARGV[1]
local denied = {}

local function fails(...)
    local reply = redis.pcall(...)
    return type(reply) == 'table' and reply.err
end

local function try(...)
    local trouble = fails(...) or ''
    if string.find(trouble, ' run ', 1, true) and string.find(trouble, 'permission', 1, true)
        or string.find(trouble, "can't run this command", 1, true) then
        denied[#denied + 1] = ({ ... })[1]
        return false
    end
    return true
end

try('TIME')
try('HGET', key, 'version')
try('HMGET', key, 'data', 'version')
try('EXISTS', key)
try('TYPE', key)
try('GET', key)
try('PTTL', key)
try('PERSIST', key)
try('PEXPIRE', key, '1')
local documents = 0
if try('DEL', key) then
    if try('HSET', key, 'version', '0') then
        redis.pcall('DEL', key)
    end
    -- A server that takes no writes now, for want of memory or of replicas, will take documents later.
    local trouble = fails('JSON.SET', key, '$', '1')
    local is_passing = trouble and (string.find(trouble, 'OOM', 1, true) or string.find(trouble, 'READONLY', 1, true)
        or string.find(trouble, 'MISCONF', 1, true) or string.find(trouble, 'NOREPLICAS', 1, true))
    documents = (not trouble or is_passing) and not fails('JSON.GET', key, '.') and 1 or 0
    redis.pcall('DEL', key)
end
return { table.concat(denied, ' '), documents }
