import { askHealth, createError, probeAddress } from '../../lib/light.ts'
import { duration, parse, type Command } from './command.ts'

export const health: Command = {
  summary: 'ask a running program on this machine whether it is well',
  help: `Usage: mqtt-broker-source health [--config FILE] [--timeout PT2S]
       mqtt-broker-source health --url http://127.0.0.1:8080/readyz [--timeout PT2S]

  --config FILE  the configuration that the program runs with: where its HTTP server is
  --url URL      what to ask
  --timeout T    how long an answer may take, as an ISO 8601 duration

Without --url it asks /livez at http.host and http.port: of the file, of MBS_HTTP_HOST and MBS_HTTP_PORT, or
127.0.0.1:8080. For the health check of a container, and for scripts. Exit code 0: it is well. 1: it is not, or does not
answer.
`,
  async execute (argv) {
    const { values } = parse(argv, {
      options: { config: { type: 'string' }, url: { type: 'string' }, timeout: { type: 'string', default: 'PT2S' } }
    })
    if (values.url !== undefined && values.config !== undefined) {
      throw createError('MBS_ERR_CLI_USAGE', { reason: '--url and --config exclude each other' })
    }
    if (values.url !== undefined && !/^https?:\/\/./.test(values.url)) {
      throw createError('MBS_ERR_CLI_USAGE', { reason: '--url takes a URL such as http://127.0.0.1:8080/livez' })
    }
    const timeoutMs = duration('--timeout', values.timeout)
    process.stdout.write(`${await askHealth(values.url ?? `${await addressOf(values.config)}/livez`, timeoutMs)}\n`)
    return 0
  }
}

/** Only a file makes it necessary to load what reads configurations. */
async function addressOf (file: string | undefined): Promise<string> {
  if (file === undefined) return probeAddress()
  const { loadConfig } = await import('../../lib/index.ts')
  return probeAddress(loadConfig({ file }).config.http)
}
