import { jsonSchema } from '../../lib/index.ts'
import { parse, type Command } from './command.ts'

export const schema: Command = {
  summary: 'print the JSON Schema of the configuration file',
  help: `Usage: mqtt-broker-source schema

Prints the JSON Schema of the configuration file, for editors and other tools.
`,
  async execute (argv) {
    parse(argv, { options: {} })
    process.stdout.write(`${JSON.stringify(jsonSchema(), null, 2)}\n`)
    return 0
  }
}
