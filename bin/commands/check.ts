import { checkConfig, EXIT_CONFIG, formatConfig, formatProblems } from '../../lib/index.ts'
import { parse, type Command } from './command.ts'

export const check: Command = {
  summary: 'say what is wrong with a configuration, all of it at once',
  help: `Usage: mqtt-broker-source check [--config FILE] [--print]

  --config FILE  the configuration, in YAML
  --print        print every setting with its value and where it comes from

Looks at the file, the environment and the certificate files that are named. Opens no port and asks no sink.
Exit code 0: it can be used. 78: it cannot, and each mistake is on standard error.
`,
  async execute (argv) {
    const { values } = parse(argv, {
      options: { config: { type: 'string' }, print: { type: 'boolean', default: false } }
    })
    const { problems, warnings, loaded } = checkConfig({ file: values.config })
    for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`)
    if (loaded === undefined) {
      process.stderr.write(`${formatProblems(problems)}\n`)
      return EXIT_CONFIG
    }
    if (values.print) process.stdout.write(`${formatConfig(loaded)}\n`)
    process.stderr.write('The configuration can be used.\n')
    return 0
  }
}
