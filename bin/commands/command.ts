/** What a command of the program is. Its exit code is what `execute` resolves with; errors are thrown. */
import { parseArgs, type ParseArgsConfig } from 'node:util'
import { createError, parseDuration, reasonOf } from '../../lib/light.ts'

export interface Command {
  /** One line for the list of commands. */
  readonly summary: string
  /** What `--help` prints. */
  readonly help: string
  execute (argv: readonly string[]): Promise<number>
}

/**
 * Parses a command's options with node's parseArgs, whose type this is.
 * @throws MBS_ERR_CLI_USAGE for what is not understood
 */
export const parse: <T extends ParseArgsConfig>(argv: readonly string[], config: T) => ReturnType<typeof parseArgs<T>> =
  (argv, config) => {
    try {
      return parseArgs({ ...config, args: [...argv] }) as ReturnType<typeof parseArgs<typeof config>>
    } catch (error) {
      const reason = reasonOf(error).split('. ')[0] ?? ''
      throw createError('MBS_ERR_CLI_USAGE', { reason: reason + optionsFor(error, Object.keys(config.options ?? {})) }, error)
    }
  }

/** The options that there are, where the error is one that there is not. */
function optionsFor (error: unknown, options: readonly string[]): string {
  if ((error as { code?: unknown }).code !== 'ERR_PARSE_ARGS_UNKNOWN_OPTION' || options.length === 0) return ''
  return `; there are ${options.map((name) => `--${name}`).join(', ')}`
}

/** A port number from an option. @throws MBS_ERR_CLI_USAGE */
export function port (text: string): number {
  const value = Number(text)
  if (!/^\d+$/.test(text) || value > 65_535) {
    throw createError('MBS_ERR_CLI_USAGE', { reason: `--port takes a number from 0 to 65535, not "${text}"` })
  }
  return value
}

/** The milliseconds of an option with an ISO 8601 duration; at most a day. @throws MBS_ERR_CLI_USAGE */
export function duration (option: string, text: string): number {
  const valueMs = parseDuration(text)
  if (valueMs === undefined || valueMs < 1 || valueMs > 86_400_000) {
    throw createError('MBS_ERR_CLI_USAGE', { reason: `${option} takes an ISO 8601 duration such as PT10S, not "${text}"` })
  }
  return valueMs
}
