/**
 * The process that evaluates JSONata, as its parent has it: jobs go in, answers come out in the same order, and one end
 * is told. Whether it is too slow, and what happens then, is not its business.
 *
 * A process and no thread: a thread that runs out of memory in one allocation (`[1..10000000]`) takes the program with
 * it, whatever its resource limits say.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { createRequire } from 'node:module'
import { FRAMES, transformProcess, type TransformProcessOptions } from './transform-process.ts'
import type { Transform } from './transform.ts'

export interface TransformWorkerOptions {
  readonly timeoutMs: number
  readonly resultBytes: number
  /** Memory for values, in bytes; one that takes more ends the process. */
  readonly memoryBytes: number
  /** It can be given jobs. */
  readonly ready: () => void
  /** Answers to the oldest jobs, in order. */
  readonly answered: (answers: readonly Answer[]) => void
  /** It has ended, by itself or not. Called once, the last of all. */
  readonly ended: (reason: string) => void
}

/** What became of a job. `slow`: it was given up after `timeoutMs`. */
export type Answer =
  | { readonly kind: 'done', readonly data: Buffer }
  | { readonly kind: 'failed' | 'slow', readonly detail: string }

const LENGTH_BYTES = 4
const NOTHING = Buffer.alloc(0)
const MIB = 1024 * 1024

export class TransformWorker {
  readonly #options: TransformWorkerOptions
  readonly #child: ChildProcess
  /** What the process knows, and under which number. */
  readonly #defined = new Map<Transform, number>()
  #isReady = false
  #outgoing: Buffer[] = []
  #incoming: Buffer[] = []
  #incomingBytes = 0
  /** Bytes of the frame that comes, with its length. */
  #needed = LENGTH_BYTES
  #hasEnded = false

  constructor (options: TransformWorkerOptions) {
    const { timeoutMs, resultBytes, memoryBytes } = options
    this.#options = options
    const library = createRequire(import.meta.url).resolve('jsonata')
    const told: TransformProcessOptions = { library, timeoutMs, resultBytes, frames: FRAMES }
    const program = `(${transformProcess.toString()})(require, ${JSON.stringify(told)})`
    const memory = `--max-old-space-size=${Math.ceil(memoryBytes / MIB)}`
    // Nothing of the environment, where secrets may be, and no word of Node's own about how it died.
    this.#child = spawn(process.execPath, [memory, '--eval', program], { env: {}, stdio: ['pipe', 'pipe', 'ignore'] })
    this.#child.once('error', (error) => { this.#end(error.message) })
    this.#child.once('close', (code, signal) => { this.#end(signal ?? `exit code ${code}`) })
    this.#child.stdin?.on('error', () => {}) // `close` tells
    this.#child.stdout?.on('error', () => {}).on('data', (chunk: Buffer) => { this.#take(chunk) })
  }

  /** True once it can be given jobs. */
  get isReady (): boolean {
    return this.#isReady
  }

  /** One job more; it is on its way after `flush`. @param variables JSON, or nothing */
  add (transform: Transform, variables: string, input: Buffer): void {
    const known = this.#defined.get(transform)
    const number = known ?? this.#defined.size
    if (known === undefined) {
      this.#defined.set(transform, number)
      this.#outgoing.push(frameOf(FRAMES.define, number, [Buffer.from(transform.text)]))
    }
    const given = variables === '' ? NOTHING : Buffer.from(variables)
    const length = Buffer.allocUnsafe(LENGTH_BYTES)
    length.writeUInt32LE(given.length)
    this.#outgoing.push(frameOf(FRAMES.run, number, [length, given, input]))
  }

  flush (): void {
    if (this.#outgoing.length === 0) return
    this.#child.stdin?.write(this.#outgoing.length === 1 ? this.#outgoing[0] : Buffer.concat(this.#outgoing))
    this.#outgoing = []
  }

  /** Ends it, whatever it is doing; `ended` is called when it has. */
  kill (): void {
    this.#child.kill('SIGKILL')
  }

  #take (chunk: Buffer): void {
    this.#incoming.push(chunk)
    this.#incomingBytes += chunk.length
    if (this.#incomingBytes < this.#needed) return
    const all = this.#incoming.length === 1 ? chunk : Buffer.concat(this.#incoming)
    const answers: Answer[] = []
    let at = 0
    for (;;) {
      const left = all.length - at
      this.#needed = left < LENGTH_BYTES ? LENGTH_BYTES : LENGTH_BYTES + all.readUInt32LE(at)
      if (left < this.#needed) break
      this.#read(all.subarray(at + LENGTH_BYTES, at + this.#needed), answers)
      at += this.#needed
    }
    this.#incoming = at === all.length ? [] : [all.subarray(at)]
    this.#incomingBytes = all.length - at
    if (answers.length > 0) this.#options.answered(answers)
  }

  #read (frame: Buffer, answers: Answer[]): void {
    const body = frame.subarray(1)
    const kind = frame[0]
    if (kind === FRAMES.ready) {
      this.#isReady = true
      this.#options.ready()
    } else if (kind === FRAMES.done) {
      answers.push({ kind: 'done', data: Buffer.from(body) }) // its own bytes: what it is a part of would be kept with it
    } else {
      answers.push({ kind: kind === FRAMES.slow ? 'slow' : 'failed', detail: body.toString() })
    }
  }

  #end (reason: string): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.#options.ended(reason)
  }
}

function frameOf (kind: number, expression: number, parts: readonly Buffer[]): Buffer {
  const head = Buffer.allocUnsafe(LENGTH_BYTES + 5)
  head.writeUInt32LE(5 + parts.reduce((sum, part) => sum + part.length, 0))
  head[LENGTH_BYTES] = kind
  head.writeUInt32LE(expression, LENGTH_BYTES + 1)
  return Buffer.concat([head, ...parts])
}
