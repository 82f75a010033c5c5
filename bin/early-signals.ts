/**
 * What a signal does before a command has handlers of its own: it ends the program at once, for nothing is open yet. As
 * the first process of a container it would not be heard at all without a handler.
 */
import process from 'node:process'

const CODES = { SIGTERM: 143, SIGINT: 130 } as const

type EndingSignal = keyof typeof CODES

const signals = Object.keys(CODES) as EndingSignal[]

let exitCode: number | undefined

function end (signal: EndingSignal): void {
  process.exit(exitCode ?? CODES[signal])
}

/** @param code what it ends with; that of the signal, as shells have it, unless given */
export function endOnSignals (code?: number): void {
  exitCode = code
  for (const signal of signals) process.on(signal, end)
}

/** From now on a command handles them. */
export function takeSignals (): void {
  for (const signal of signals) process.off(signal, end)
}
