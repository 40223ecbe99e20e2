-- Which of the commands of the other scripts the user may not run, separated by spaces. Tries each on the key
-- KEYS[1], or ARGV[1] where keys need not be named, which nobody uses.
local key = KEYS[1] or ARGV[1]
local denied = {}

local function try(...)
    local reply = redis.pcall(...)
    local trouble = type(reply) == 'table' and reply.err or ''
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
if try('DEL', key) and try('HSET', key, 'version', '0') then
    redis.pcall('DEL', key)
end
return table.concat(denied, ' ')
