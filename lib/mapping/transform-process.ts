/**
 * What the process that evaluates JSONata does: reads jobs from standard input, one after the other, and writes what
 * became of each to standard output before it begins the next one, so that whoever watches knows which one it died of.
 *
 * The process is given this function as its text (transform-worker.ts): the same from sources and from dist, without a
 * loader, and with nothing of this program in it. So it must use nothing but its parameters.
 */
import type * as Fs from 'node:fs'
import type * as Threads from 'node:worker_threads'
import type Jsonata from 'jsonata'

/** The first byte of a frame, after its length: to the process `define` and `run`, from it the others. */
export const FRAMES = { define: 0, run: 1, ready: 2, done: 3, failed: 4, slow: 5 } as const

export type FrameKind = typeof FRAMES[keyof typeof FRAMES]

/** What the process is told when it starts. */
export interface TransformProcessOptions {
  /** Where the library is. */
  readonly library: string
  /** Time for one evaluation; one that is stuck in a regular expression is not stopped by it. */
  readonly timeoutMs: number
  /** Most bytes of a result. */
  readonly resultBytes: number
  readonly frames: typeof FRAMES
}

/**
 * Runs until its standard input ends.
 *
 * Frames to it: length (4 bytes, little-endian), kind (1), number of the expression (4); then the expression, or the
 * length of the variables (4), the variables as JSON, the input as JSON. Frames from it: length (4), kind (1), and the
 * result as JSON, or in words why there is none; those words never hold a part of the input.
 */
export async function transformProcess (
  load: NodeJS.Require, { library, timeoutMs, resultBytes, frames }: TransformProcessOptions
): Promise<void> {
  const { readSync, writeSync } = load('node:fs') as typeof Fs
  const { Worker } = load('node:worker_threads') as typeof Threads
  const jsonata = load(library) as typeof Jsonata
  // Ctrl-C reaches every process of the terminal; this one ends when its parent has no more use for it.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {})
  // A parent that was killed cannot stop an expression that never ends.
  const watch = 'const { ppid, pid } = process; setInterval(() => { if (process.ppid !== ppid) process.kill(pid, "SIGKILL") }, 1000)'
  // eslint-disable-next-line no-new -- it lives as long as the process
  new Worker(watch, { eval: true, resourceLimits: { maxOldGenerationSizeMb: 8, maxYoungGenerationSizeMb: 1 } })

  /** Functions could only be written as what the library keeps in them. */
  const isFunction = (value: unknown): boolean => typeof value === 'function' ||
    (typeof value === 'object' && value !== null && ('_jsonata_lambda' in value || '_jsonata_function' in value))
  const withoutFunctions = (_key: string, value: unknown): unknown => {
    if (isFunction(value)) throw new Error('function')
    return value
  }

  const isCode = (code: unknown): code is string => typeof code === 'string' && /^[A-Z]\d{4}$/.test(code)

  const expressions = new Map<number, Jsonata.Expression>()

  type Answer = readonly [kind: FrameKind, text: string]

  const evaluate = async (index: number, variables: string, input: string): Promise<Answer> => {
    let result: unknown
    try {
      const bindings = variables === '' ? {} : JSON.parse(variables) as Record<string, unknown>
      result = await expressions.get(index)?.evaluate(JSON.parse(input), bindings)
    } catch (error) {
      const { code, position } = error as { code?: unknown, position?: unknown }
      if (code === 'D1012') return [frames.slow, `it did not end within ${timeoutMs} ms`]
      const where = typeof position === 'number' ? ` at character ${position}` : ''
      // Its message may quote the input.
      return [frames.failed, isCode(code) ? `it failed with ${code} of JSONata${where}` : 'it failed']
    }
    try {
      const text = JSON.stringify(result, withoutFunctions)
      if (text === undefined) return [frames.failed, 'its result is nothing']
      if (Buffer.byteLength(text) > resultBytes) return [frames.failed, `its result is larger than ${resultBytes} bytes`]
      return [frames.done, text]
    } catch {
      return [frames.failed, 'its result has a function in it, or cannot be written as JSON']
    }
  }

  const write = (kind: FrameKind, text: string): void => {
    const length = Buffer.byteLength(text)
    const frame = Buffer.allocUnsafe(5 + length)
    frame.writeUInt32LE(1 + length, 0)
    frame[4] = kind
    frame.write(text, 5)
    for (let at = 0; at < frame.length;) at += writeSync(1, frame, at)
  }

  let unread = Buffer.alloc(0)
  const chunk = Buffer.allocUnsafe(65_536)
  /** So many bytes; undefined where the input has ended. */
  const read = (length: number): Buffer | undefined => {
    const parts = [unread]
    let bytes = unread.length
    while (bytes < length) {
      const count = readSync(0, chunk)
      if (count === 0) return undefined
      parts.push(Buffer.from(chunk.subarray(0, count)))
      bytes += count
    }
    const all = parts.length === 1 ? unread : Buffer.concat(parts)
    unread = all.subarray(length)
    return all.subarray(0, length)
  }

  write(frames.ready, '')
  for (;;) {
    const length = read(4)?.readUInt32LE(0)
    const frame = length === undefined ? undefined : read(length)
    if (frame === undefined) process.exit(0)
    const index = frame.readUInt32LE(1)
    if (frame[0] === frames.define) {
      expressions.set(index, jsonata(frame.toString('utf8', 5), { timeout: timeoutMs, stack: 500, sequence: 1_000_000 }))
      continue
    }
    const start = 9 + frame.readUInt32LE(5)
    const [kind, text] = await evaluate(index, frame.toString('utf8', 9, start), frame.toString('utf8', start))
    write(kind, text)
  }
}
