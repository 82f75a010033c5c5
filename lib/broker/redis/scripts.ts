/**
 * What happens in Redis at once. `session` and the keys after it are those of SessionKeys.all, unless a script says
 * otherwise. A script that a connection runs checks first that the session is still that connection's: what comes late
 * from a pod that has lost it changes nothing.
 */
import { Script } from '../../redis/script.ts'

/** Returned where the session is another connection's by now, or has ended. */
export const LOST = -1

/** Messages, identifiers and answers keep the order in which they came, also after Redis has forgotten its scripts. */
const ORDERED = { isOrdered: true } as const
/** KEYS[1] is the session, ARGV[1] the serial of the connection. */
const FENCE = `if redis.call('HGET', KEYS[1], 'conn') ~= ARGV[1] then return ${LOST} end\n`
/** What was made just now lives as long as its session; `at` is where its key stands. */
const lifetimeOf = (...at: number[]): string =>
  `local left = redis.call('PTTL', KEYS[1])
  if left > 0 then ${at.map((key) => `redis.call('PEXPIRE', KEYS[${key}], left)`).join(' ')} end\n`

/** Serials grow over all pods, and also when Redis has lost the last one. KEYS: connections. */
export const nextSerial = new Script<Buffer>(`
  local now = redis.call('TIME')
  local serial = math.max(tonumber(redis.call('GET', KEYS[1]) or '0') + 1, now[1] * 1000000 + now[2])
  serial = string.format('%.0f', serial)
  redis.call('SET', KEYS[1], serial)
  return serial`)

/** Takes a place. KEYS: index. ARGV: clientId, max, endsAt. Returns 0 where there is none. */
export const takePlace = new Script<number>(`
  if not redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
  redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
  return 1`)

/** Gives a place back whose session is gone. KEYS: index. ARGV: clientId, now. */
export const dropPlace = new Script<number>(`
  local endsAt = redis.call('ZSCORE', KEYS[1], ARGV[1])
  if not endsAt or tonumber(endsAt) > tonumber(ARGV[2]) then return 0 end
  return redis.call('ZREM', KEYS[1], ARGV[1])`)

/** What a connection finds: 0 nothing, 1 its session, 2 that of another owner, which has ended. */
export type Taken = readonly [found: number, received: Buffer[], sent: Buffer[]]

/**
 * Names the server process: what it has noted it knows, and what it has from before, or from another one, may be older
 * than what was answered.
 */
const RUN = "local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')\n"

/** ARGV: serial, owner, pod, lifetime. */
export const takeSession = new Script<Taken | readonly [typeof LOST]>(`
  local conn = redis.call('HGET', KEYS[1], 'conn')
  if conn and tonumber(conn) > tonumber(ARGV[1]) then return {${LOST}} end
  local owner = redis.call('HGET', KEYS[1], 'owner')
  local found = 1
  if owner ~= ARGV[2] then
    found = owner and 2 or 0
    redis.call('DEL', unpack(KEYS))
  end
  redis.call('HSET', KEYS[1], 'owner', ARGV[2], 'pod', ARGV[3], 'conn', ARGV[1])
  for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[4]) end
  local noted = redis.call('HGETALL', KEYS[6])
  local received = {}
  if #noted > 0 then
    ${RUN}
    for at = 1, #noted, 2 do
      if noted[at + 1] == run then received[#received + 1] = noted[at]
      else redis.call('HDEL', KEYS[6], noted[at]) end
    end
  end
  return {found, received, redis.call('HGETALL', KEYS[5])}`)

/** ARGV: serial, lifetime. Returns how many messages wait that were not sent. */
export const renewSession = new Script<number>(`${FENCE}
  for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[2]) end
  return redis.call('ZCARD', KEYS[3]) - redis.call('HLEN', KEYS[5])`)

/** ARGV: serial, lifetime. Returns 0 where nothing is worth keeping. */
export const leaveSession = new Script<number>(`${FENCE}
  if redis.call('EXISTS', KEYS[2], KEYS[3], KEYS[6]) == 0 then
    redis.call('DEL', unpack(KEYS))
    return 0
  end
  redis.call('HDEL', KEYS[1], 'pod')
  for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[2]) end
  return 1`)

/** ARGV: serial, '1' where one that is connected is left alone. Returns 1 where there was one. */
export const endSession = new Script<number>(`
  local conn = redis.call('HGET', KEYS[1], 'conn')
  if conn and tonumber(conn) > tonumber(ARGV[1]) then return ${LOST} end
  if ARGV[2] == '1' and redis.call('HEXISTS', KEYS[1], 'pod') == 1 then return ${LOST} end
  return math.min(1, redis.call('DEL', unpack(KEYS)))`)

/** KEYS: session, subscriptions. ARGV: serial, then filter and QoS, again and again. */
export const addSubscriptions = new Script<number>(`${FENCE}
  for at = 2, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[at], ARGV[at + 1]) end
  ${lifetimeOf(2)} return 1`)

/** KEYS: session, subscriptions. ARGV: serial, filters. */
export const removeSubscriptions = new Script<number>(`${FENCE}
  for at = 2, #ARGV do redis.call('HDEL', KEYS[2], ARGV[at]) end
  return 1`)

/** KEYS: version, changes. ARGV: clientId, how many are remembered, an epoch for the case that there is none. */
export const noteChange = new Script<number>(`
  if redis.call('HSETNX', KEYS[1], 'epoch', ARGV[3]) == 1 then redis.call('DEL', KEYS[2]) end
  local number = redis.call('HINCRBY', KEYS[1], 'number', 1)
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], number .. '-0', 'c', ARGV[1])
  return number`)

/** KEYS: version, changes. ARGV: number and epoch that are known. Returns epoch, number, the changes after it. */
export const readChanges = new Script<readonly [epoch: Buffer, number: Buffer, changes: ReadonlyArray<readonly [Buffer, Buffer[]]>]>(`
  local epoch = redis.call('HGET', KEYS[1], 'epoch') or ''
  local number = redis.call('HGET', KEYS[1], 'number') or '0'
  if epoch ~= ARGV[2] or number == ARGV[1] then return {epoch, number, {}} end
  return {epoch, number, redis.call('XRANGE', KEYS[2], (ARGV[1] + 1) .. '-0', '+', 'COUNT', 1000)}`)

/** Which bound keeps a message out. */
export const TOO_MANY = -2
export const TOO_LARGE = -3

/**
 * Returns the serial of the message, which is the next one of the session, unless it is there already. KEYS: session,
 * order, bodies. ARGV: name, body, overhead, most messages, most bytes.
 */
export const enqueue = new Script<number>(`
  if redis.call('EXISTS', KEYS[1]) == 0 then return ${LOST} end
  local known = redis.call('ZSCORE', KEYS[2], ARGV[1])
  if known then return tonumber(known) end
  if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[4]) then return ${TOO_MANY} end
  local bytes = #ARGV[2] + ARGV[3]
  if tonumber(redis.call('HGET', KEYS[1], 'bytes') or '0') + bytes > tonumber(ARGV[5]) then return ${TOO_LARGE} end
  redis.call('HSET', KEYS[3], ARGV[1], ARGV[2])
  local serial = redis.call('HINCRBY', KEYS[1], 'serial', 1)
  redis.call('ZADD', KEYS[2], serial, ARGV[1])
  redis.call('HINCRBY', KEYS[1], 'bytes', bytes)
  ${lifetimeOf(2, 3)} return serial`, ORDERED)

/** KEYS: session, order, sent. ARGV: serial, name, packet identifier. Returns 0 where it is not kept. */
export const identify = new Script<number>(`${FENCE}
  if not redis.call('ZSCORE', KEYS[2], ARGV[2]) then return 0 end
  redis.call('HSET', KEYS[3], ARGV[2], 'p' .. ARGV[3])
  ${lifetimeOf(3)} return 1`, ORDERED)

/** PUBREL takes the place of a message. KEYS: session, order, bodies, sent. ARGV: serial, name, packet identifier. */
export const release = new Script<number>(`${FENCE}
  if not redis.call('ZSCORE', KEYS[2], ARGV[2]) then return 0 end
  redis.call('HINCRBY', KEYS[1], 'bytes', -redis.call('HSTRLEN', KEYS[3], ARGV[2]))
  redis.call('HDEL', KEYS[3], ARGV[2])
  redis.call('HSET', KEYS[4], ARGV[2], 'r' .. ARGV[3])
  ${lifetimeOf(4)} return 1`, ORDERED)

/** KEYS: session, order, bodies, sent. ARGV: serial, name, overhead. */
export const remove = new Script<number>(`${FENCE}
  if redis.call('ZREM', KEYS[2], ARGV[2]) == 0 then return 0 end
  redis.call('HINCRBY', KEYS[1], 'bytes', -redis.call('HSTRLEN', KEYS[3], ARGV[2]) - ARGV[3])
  redis.call('HDEL', KEYS[3], ARGV[2])
  redis.call('HDEL', KEYS[4], ARGV[2])
  return 1`)

/**
 * KEYS: session, order, bodies, sent. ARGV: serial, the last serial of a message that is known, how many. Where there
 * is no message behind that one it returns the last serial that was given.
 */
export const readPage = new Script<number | ReadonlyArray<readonly [name: Buffer, serial: Buffer, body: Buffer, sent: Buffer]>>(`${FENCE}
  local page = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[2], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[3])
  if #page == 0 then return tonumber(redis.call('HGET', KEYS[1], 'serial') or '0') end
  local found = {}
  for at = 1, #page, 2 do
    local name = page[at]
    found[#found + 1] = {
      name, page[at + 1], redis.call('HGET', KEYS[3], name) or '', redis.call('HGET', KEYS[4], name) or ''
    }
  end
  return found`)

/** KEYS: session, received. ARGV: serial, packet identifier. */
export const addReceived = new Script<number>(`${FENCE}
  ${RUN}
  redis.call('HSET', KEYS[2], ARGV[2], run)
  ${lifetimeOf(2)} return 1`, ORDERED)

/** KEYS: session, received. ARGV: serial, packet identifier. */
export const removeReceived = new Script<number>(`${FENCE}
  redis.call('HDEL', KEYS[2], ARGV[2])
  return 1`)

/** What was retained, or deleted. */
export const KEPT = 0

/** KEYS: topics, messages, bytes. ARGV: topic, message or nothing, overhead, most messages, most bytes. */
export const retain = new Script<number>(`
  local before = redis.call('HSTRLEN', KEYS[2], ARGV[1])
  local freed = before > 0 and #ARGV[1] + before + ARGV[3] or 0
  local bytes = tonumber(redis.call('GET', KEYS[3]) or '0') - freed
  if ARGV[2] ~= '' then
    local after = bytes + #ARGV[1] + #ARGV[2] + ARGV[3]
    if before == 0 and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[4]) then return ${TOO_MANY} end
    if after <= tonumber(ARGV[5]) then
      redis.call('SET', KEYS[3], string.format('%.0f', after))
      redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
      redis.call('ZADD', KEYS[1], 0, ARGV[1])
      return ${KEPT}
    end
  end
  if before > 0 then
    redis.call('ZREM', KEYS[1], ARGV[1])
    redis.call('HDEL', KEYS[2], ARGV[1])
    redis.call('DECRBY', KEYS[3], freed)
  end
  return ARGV[2] == '' and ${KEPT} or ${TOO_LARGE}`, ORDERED)

/** A pod lives. KEYS: life, its wills, pods. ARGV: pod, lifetime, lifetime of its wills. */
export const showLife = new Script<number>(`
  redis.call('SET', KEYS[1], '1', 'PX', ARGV[2])
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
  return redis.call('SADD', KEYS[3], ARGV[1])`)

/** KEYS: wills of a pod. ARGV: name, will, lifetime. */
export const putWill = new Script<number>(`
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  return redis.call('PEXPIRE', KEYS[1], ARGV[3])`)

/**
 * Takes a will of a pod that is dead. KEYS: its life, its wills, the wills of who takes it. ARGV: name, name there,
 * lifetime.
 */
export const claimWill = new Script<Buffer | null>(`
  if redis.call('EXISTS', KEYS[1]) == 1 then return false end
  local will = redis.call('HGET', KEYS[2], ARGV[1])
  if not will then return false end
  redis.call('HDEL', KEYS[2], ARGV[1])
  redis.call('HSET', KEYS[3], ARGV[2], will)
  redis.call('PEXPIRE', KEYS[3], ARGV[3])
  return will`)

/** Forgets a pod that is dead and has left nothing. KEYS: its life, its wills, pods. ARGV: pod. */
export const forgetPod = new Script<number>(`
  if redis.call('EXISTS', KEYS[1], KEYS[2]) > 0 then return 0 end
  return redis.call('SREM', KEYS[3], ARGV[1])`)
