/**
 * Loaded in front of a program of the benchmark: counts the commands that its connections send to Redis, by name,
 * scripts by their hash. Answers every message of its parent with what it has counted so far. It changes nothing else.
 */
import { Redis } from 'ioredis'

const counts = new Map<string, number>()
const { sendCommand } = Redis.prototype

Redis.prototype.sendCommand = function (command, stream) {
  const lower = command.name.toLowerCase()
  const name = lower === 'evalsha' ? String(command.args[0]) : lower
  counts.set(name, (counts.get(name) ?? 0) + 1)
  return sendCommand.call(this, command, stream)
}

process.on('message', () => { process.send?.(Object.fromEntries(counts)) })
// The program ends when its own work does.
process.channel?.unref()
