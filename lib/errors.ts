/** The only way to make an error: by its code, from the table in error-table.ts. */
import { table, type ErrorEntry } from './error-table.ts'

export { EXIT_CONFIG } from './error-table.ts'

/** Every code that an error of this program can have. */
export type ErrorCode = keyof typeof table

/** The entries of the table, for the generated documentation and for its tests. */
export const errorTable: Readonly<Record<ErrorCode, ErrorEntry>> = table

/** Values for the placeholders of a message. */
export type ErrorDetails = Readonly<Record<string, string | number>>

/** An error of this program: a code to match on, a sentence and a remedy. */
export class MbsError extends Error {
  override readonly name = 'MbsError'
  readonly code: ErrorCode
  /** What the reader can do about it. */
  readonly help: string
  readonly retryable: boolean
  readonly exitCode: number
  readonly connack: number | undefined
  readonly details: ErrorDetails

  /** Use `createError`: it is the one place where the table meets the details. */
  constructor (code: ErrorCode, details: ErrorDetails, cause: unknown) {
    const entry: ErrorEntry = table[code]
    super(
      entry.message.replace(/\{(\w+)\}/g, (whole, name: string) => String(details[name] ?? whole)),
      cause === undefined ? undefined : { cause }
    )
    this.code = code
    this.help = entry.help
    this.retryable = entry.retryable ?? false
    this.exitCode = entry.exitCode ?? 1
    this.connack = entry.connack
    this.details = details
  }
}

/**
 * Makes the error of a code.
 * @param details the values of the message's placeholders
 * @param cause what was caught, where something was
 */
export function createError (code: ErrorCode, details: ErrorDetails = {}, cause?: unknown): MbsError {
  return new MbsError(code, details, cause)
}

/** True for an error of this program, of the given code where one is given. */
export function isMbsError (error: unknown, code?: ErrorCode): error is MbsError {
  return error instanceof MbsError && (code === undefined || error.code === code)
}

/** What a caught value says, in words for a `{reason}`, without a closing full stop. */
export function reasonOf (error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error)
  return text.replace(/\.$/, '')
}
