/**
 * The built program as a child process (`npm run build` beforehand), for tests that kill it and for those of its
 * command line. It sees no environment but what a test gives it, and never outlives the test that started it.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { stringify } from 'yaml'
import type { LogLine } from './log-lines.ts'

const PROGRAM = fileURLToPath(new URL('../../dist/bin/mqtt-broker-source.js', import.meta.url))

/** What the log says once everything listens. */
const UP = 'mqtt-broker-source is up'

/** How a child ended: `code` is null where a signal ended it. */
export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface ChildOptions {
  /** The whole environment of the child, beside PATH. */
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
}

/**
 * The built program as a command with its arguments, in an environment that has nothing beside PATH and what is given:
 * what tap gives to every child makes node take twice as long to begin.
 */
export function programCommand (args: readonly string[], env?: Readonly<Record<string, string>>): [string, string[]] {
  return nodeCommand([PROGRAM, ...args], { PATH: process.env['PATH'] ?? '', ...env })
}

/** node, with this environment and no more. */
export function nodeCommand (args: readonly string[], env: Readonly<Record<string, string>>): [string, string[]] {
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`)
  return ['env', ['-i', ...variables, process.execPath, ...args]]
}

/** A child process with what it has written so far. */
export class Program {
  stdout = ''
  stderr = ''
  /** Resolves when it has ended and all its output is here. */
  readonly exited: Promise<Exit>
  readonly #child: ChildProcess
  #exit: Exit | undefined
  readonly #waiting: Array<() => void> = []

  constructor (args: readonly string[], options: ChildOptions) {
    const [command, commandArgs] = programCommand(args, options.env)
    this.#child = spawn(command, commandArgs, { cwd: options.cwd, stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text
      this.#changed()
    })
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text
      this.#changed()
    })
    this.exited = new Promise((resolve) => {
      this.#child.on('close', (code, signal) => {
        this.#exit = { code, signal }
        this.#changed()
        resolve(this.#exit)
      })
    })
  }

  get pid (): number | undefined {
    return this.#child.pid
  }

  /** The complete lines of its JSON log; what else is on standard error is left out. */
  get log (): LogLine[] {
    const lines = this.stderr.split('\n').slice(0, -1)
    return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as LogLine)
  }

  /** Resolves as soon as what it has written meets the condition. Rejects when it ends before. */
  async until (condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.#exit !== undefined) throw new Error(`it has ended: ${JSON.stringify(this.#exit)}\n${this.stderr}`)
      await new Promise<void>((resolve) => { this.#waiting.push(resolve) })
    }
  }

  /** Resolves with the first log line that carries this text. Rejects when the program ends before. */
  async logged (msg: string): Promise<LogLine> {
    const find = (): LogLine | undefined => this.log.find((line) => line['msg'] === msg)
    await this.until(() => find() !== undefined)
    return find()!
  }

  /** Where it listens with this protocol (`mqtt`, `mqtts`, `http`), as `host:port`. It must be up. */
  address (protocol: string): string {
    const line = this.log.find(({ msg, what }) => msg === 'listening' && String(what).startsWith(`${protocol} `))
    if (line === undefined) throw new Error(`it does not listen with ${protocol}:\n${this.stderr}`)
    return String(line['address'])
  }

  /** The port of `address`. */
  port (protocol: string): number {
    return Number(this.address(protocol).split(':').at(-1))
  }

  /** Sends a signal, without waiting for what it does. */
  signal (signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** Ends it as a crash does: SIGKILL. Resolves when it is gone. */
  async kill (): Promise<void> {
    this.signal('SIGKILL')
    await this.exited
  }

  /** Asks it to end: SIGTERM. Resolves with its exit code. */
  async stop (): Promise<number | null> {
    this.signal('SIGTERM')
    return (await this.exited).code
  }

  #changed (): void {
    for (const wake of this.#waiting.splice(0)) wake()
  }
}

/** Starts the program with any command line, without waiting for anything; `exited` does. */
export function spawnProgram (t: Test, args: readonly string[], options: ChildOptions = {}): Program {
  const program = new Program(args, options)
  t.teardown(() => program.kill())
  return program
}

/**
 * Starts the broker with a configuration and resolves when everything listens. The log has to be JSON at level info.
 * The configuration lies in a directory of its own, because a second `t.testdir()` would empty the one of the test.
 */
export async function startProgram (t: Test, config: object, options: ChildOptions = {}): Promise<Program> {
  const directory = await mkdtemp(join(tmpdir(), 'mqtt-broker-source-'))
  const file = join(directory, 'config.yaml')
  await writeFile(file, stringify(config))
  const program = spawnProgram(t, ['run', '--config', file], options)
  // As soon as it has ended, not at the end of the test: a test may start very many.
  const removed = program.exited.then(() => rm(directory, { recursive: true, force: true }))
  t.teardown(async () => {
    await program.kill()
    await removed
  })
  await program.logged(UP)
  return program
}

/** A port that was free a moment ago, for what has to come back at the same place after a restart. */
export async function freePort (): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => { server.close(resolve) })
  return port
}
