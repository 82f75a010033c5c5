/**
 * What is done in Redis in one step. Each script touches one partition, so it runs on a Cluster as well. The numbers of
 * an event come back as integers; what is larger than 2^53 does not occur.
 */
import { Script } from '../../redis/script.ts'

/** What counts beside the bytes of an event: its identifier and fields in the stream. */
export const OVERHEAD_BYTES = 16
/** Sequences that are passed over where another server goes on than the one that stored last: it may have lost some. */
const RUN_GAP = 2 ** 20
/** Dead letters of events that are to be set aside may take this part of the outbox. */
const ASIDE_SHARE = 0.25
/** How long a program can ask again what became of what it sent, in milliseconds. */
const BATCH_TTL_MS = 3_600_000
/** Events that one step of trimming removes: longer ones would make everybody wait. */
const TRIM_EVENTS = 10_000
/** More than there can be dead letters of one sequence: one for each sink. */
const SINKS = 128
/** Entries that are looked at together while a page is read. */
const READ_EVENTS = 64

/** The state of a partition, behind what the script says itself: see `toState`. */
const STATE = `
local function state ()
  local m = redis.call('HMGET', KEYS[1], 'last', 'offset', 'trimmed', 'letterBytes', 'first')
  local time = redis.call('TIME')
  return tonumber(m[1] or 0), tonumber(m[2] or 0), tonumber(m[3] or 0), tonumber(m[4] or 0),
    redis.call('ZCARD', KEYS[6]), redis.call('XLEN', KEYS[2]), time[1] * 1000 + math.floor(time[2] / 1000),
    tonumber(m[5] or 0)
end
local function text (number) return string.format('%.0f', number) end
`

/** Keys in this order: meta, log, receipts, ring, letter, letters, cursors, lease. */

/**
 * Stores events, all of one batch of one program, or as many as there is room for. The same batch again changes nothing
 * and gives the same answer; one that comes after its deadline is not stored. Where another server answers than before,
 * or the same one after a restart, sequences are passed over: what it has lost must not be numbered again.
 *
 * ARGV: deadline, floor, limit of bytes, receipts to keep, channel, partition, batch, then for each event: record,
 * packet identifier and client, digest, event id, 1 where it says that it is a retransmission, dead letter. KEYS[9]:
 * the last batch. Answers: `late`; or `done` or `full`, the last sequence before others were passed over or -1, state,
 * and for each event its sequence, below zero where it was stored before, or 0 where dead letters have no room.
 */
export const appendScript = new Script<Array<Buffer | number>>(`${STATE}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if now > tonumber(ARGV[1]) then return {'late'} end
local limit, batch = tonumber(ARGV[3]), ARGV[7]
local last, offset, trimmed, letterBytes = state()
local results, status, passed = {}, 'done', -1
local before = redis.call('GET', KEYS[9])
if before and string.sub(before, 1, #batch + 1) == batch .. ' ' then
  status = string.sub(before, #batch + 2, #batch + 5)
  for number in string.gmatch(string.sub(before, #batch + 6), '[-%d]+') do results[#results + 1] = tonumber(number) end
else
  local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  if run ~= redis.call('HGET', KEYS[1], 'run') then
    passed = last
    local floor = tonumber(ARGV[2]) - 1
    if last > 0 then last = math.max(last + ${RUN_GAP}, floor) else last = floor end
    redis.call('HSET', KEYS[1], 'run', run, 'last', text(last), 'since', text(last))
    if passed == 0 then redis.call('HSET', KEYS[1], 'first', text(last + 1)) end
  end
  local first = last + 1
  local since = tonumber(redis.call('HGET', KEYS[1], 'since') or '0')
  for at = 8, #ARGV, 7 do
    local record, field, digest, id, again, letter, age = unpack(ARGV, at, at + 6)
    local known
    if field ~= '' then
      local receipt = redis.call('HGET', KEYS[3], field)
      if receipt then
        local sequence, oldDigest, storedAt, oldId = string.match(receipt, '^(%d+) (%d+) (%d+) (.*)$')
        local isOvertaken = tonumber(sequence) > since and now - age < tonumber(storedAt)
        if oldId == id or (oldDigest == digest and (again == '1' or isOvertaken)) then known = tonumber(sequence) end
      end
    end
    if known then
      results[#results + 1] = -known
    elseif letter ~= '' and letterBytes > limit * ${ASIDE_SHARE} then
      results[#results + 1] = 0
    else
      local size = #record + ${OVERHEAD_BYTES}
      if offset - trimmed + letterBytes + size + #letter > limit then
        status = 'full'
        break
      end
      last = last + 1
      local sequence = text(last)
      redis.call('XADD', KEYS[2], sequence .. '-0', 'e', record, 'o', text(offset))
      offset = offset + size
      if letter ~= '' then
        redis.call('ZADD', KEYS[6], sequence, sequence .. ' mapping')
        redis.call('HSET', KEYS[5], sequence .. ' mapping', letter)
        letterBytes = letterBytes + #letter
      end
      if field ~= '' then
        local storedAt = again == '1' and text(now) or '0'
        redis.call('HSET', KEYS[3], field, table.concat({sequence, digest, storedAt, id}, ' '))
        redis.call('LPUSH', KEYS[4], sequence .. ' ' .. field)
      end
      results[#results + 1] = last
    end
  end
  for _ = 1, redis.call('LLEN', KEYS[4]) - tonumber(ARGV[4]) do
    local sequence, field = string.match(redis.call('RPOP', KEYS[4]), '^(%d+) (.*)$')
    local receipt = redis.call('HGET', KEYS[3], field)
    if receipt and string.match(receipt, '^%d+') == sequence then redis.call('HDEL', KEYS[3], field) end
  end
  redis.call('HSET', KEYS[1], 'last', text(last), 'offset', text(offset), 'letterBytes', text(letterBytes))
  local texts = {}
  for at, number in ipairs(results) do texts[at] = text(number) end
  redis.call('SET', KEYS[9], batch .. ' ' .. status .. ' ' .. table.concat(texts, ','), 'PX', ${BATCH_TTL_MS})
  if last >= first then redis.call('PUBLISH', ARGV[5], ARGV[6] .. ' ' .. text(last)) end
end
local answer = {status, passed, state()}
for _, number in ipairs(results) do answer[#answer + 1] = number end
return answer
`)

/** How a partition stands, and who delivers it: state, then the lease, or nothing. */
export const stateScript = new Script<Array<number | Buffer | null>>(`${STATE}
local answer = {state()}
answer[#answer + 1] = redis.call('GET', KEYS[8])
return answer
`)

/**
 * Reads events from a sequence on: ARGV sequence, most events, most bytes. Answers for each its sequence and its
 * record; one at least where there is one.
 */
export const readScript = new Script<Array<Buffer>>(`
local from, left, bytes = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local answer = {}
while left > 0 do
  local entries = redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', math.min(left, ${READ_EVENTS}))
  for _, entry in ipairs(entries) do
    local record = entry[2][2]
    local size = #record + ${OVERHEAD_BYTES}
    if #answer > 0 and bytes < size then return answer end
    bytes = bytes - size
    answer[#answer + 1] = entry[1]
    answer[#answer + 1] = record
  end
  if #entries < ${READ_EVENTS} then return answer end
  left = left - #entries
  from = '(' .. entries[#entries][1]
end
return answer
`)

/** Reads single events: ARGV sequences. Answers sequence and record of those that are there. */
export const readManyScript = new Script<Array<Buffer>>(`
local answer = {}
for _, sequence in ipairs(ARGV) do
  local entry = redis.call('XRANGE', KEYS[2], sequence, sequence, 'COUNT', 1)[1]
  if entry then
    answer[#answer + 1] = entry[1]
    answer[#answer + 1] = entry[2][2]
  end
end
return answer
`)

/** What only who has the lease may do: ARGV[1] is whose it has to be. */
const FENCE = `
if redis.call('GET', KEYS[8]) ~= ARGV[1] then return {'lease'} end
`

/** Saves a cursor: ARGV lease, sink, cursor. */
export const cursorScript = new Script<Buffer[]>(`${FENCE}
redis.call('HSET', KEYS[7], ARGV[2], ARGV[3])
return {'done'}
`)

/** Removes what lies before a sequence, or the oldest of it: lease and sequence. Answers `more` or `done`, state. */
export const trimScript = new Script<Array<Buffer | number>>(`${STATE}${FENCE}
local before = tonumber(ARGV[2])
local last = state()
if before > last + 1 then before = last + 1 end
local function oldest ()
  local entry = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
  if entry then return tonumber(string.match(entry[1], '^%d+')), entry[2][4] end
end
local from = oldest()
local to = before
if from and from + ${TRIM_EVENTS} < before then to = from + ${TRIM_EVENTS} end
redis.call('XTRIM', KEYS[2], 'MINID', text(to))
local left, offset = oldest()
local first = tonumber(redis.call('HGET', KEYS[1], 'first') or 0)
redis.call('HSET', KEYS[1], 'trimmed', offset or redis.call('HGET', KEYS[1], 'offset') or '0', 'first', text(math.max(first, to)))
local status = left and left < before and 'more' or 'done'
return {status, state()}
`)

/** Keeps a dead letter, in the place of the one before: ARGV sequence, sink, letter. Answers the state. */
export const putLetterScript = new Script<number[]>(`${STATE}
local name = ARGV[1] .. ' ' .. ARGV[2]
local before = redis.call('HSTRLEN', KEYS[5], name)
redis.call('ZADD', KEYS[6], ARGV[1], name)
redis.call('HSET', KEYS[5], name, ARGV[3])
redis.call('HINCRBY', KEYS[1], 'letterBytes', text(#ARGV[3] - before))
return {state()}
`)

/**
 * Dead letters from a sequence on: ARGV sequence, most letters, most bytes. Answers name and letter of each; those of
 * one sequence are never parted.
 */
export const readLettersScript = new Script<Buffer[]>(`
local most, bytes = tonumber(ARGV[2]), tonumber(ARGV[3])
local names = redis.call('ZRANGEBYSCORE', KEYS[6], ARGV[1], '+inf', 'LIMIT', 0, most + ${SINKS})
local answer, sequence = {}, nil
for _, name in ipairs(names) do
  local own = string.match(name, '^%d+')
  if own ~= sequence and #answer > 0 and (#answer >= 2 * most or bytes <= 0) then break end
  sequence = own
  local letter = redis.call('HGET', KEYS[5], name)
  if letter then
    bytes = bytes - #letter
    answer[#answer + 1] = name
    answer[#answer + 1] = letter
  end
end
return answer
`)

/** Removes dead letters: ARGV their names. Answers the state. */
export const deleteLettersScript = new Script<number[]>(`${STATE}
for _, name in ipairs(ARGV) do
  local bytes = redis.call('HSTRLEN', KEYS[5], name)
  if redis.call('ZREM', KEYS[6], name) == 1 then redis.call('HINCRBY', KEYS[1], 'letterBytes', text(-bytes)) end
  redis.call('HDEL', KEYS[5], name)
end
return {state()}
`)

/** Takes or keeps the lease: ARGV whose, milliseconds. 1: it has it. KEYS[1] is the lease. */
export const leaseScript = new Script<number>(`
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
`)

/** Gives the lease back: ARGV whose. */
export const releaseScript = new Script<number>(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
`)

/**
 * A program says that it is there, and hears who else is: ARGV its name, what it says of itself, milliseconds that
 * count as being there. KEYS members, facts. Answers the names.
 */
export const memberScript = new Script<Buffer[]>(`
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[3])) do
  redis.call('ZREM', KEYS[1], gone)
  redis.call('HDEL', KEYS[2], gone)
end
redis.call('PEXPIRE', KEYS[1], 3600000)
redis.call('PEXPIRE', KEYS[2], 3600000)
return redis.call('ZRANGE', KEYS[1], 0, -1)
`)
