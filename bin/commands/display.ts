import { createDisplayReceiver } from '../../lib/index.ts'
import { takeSignals } from '../early-signals.ts'
import { parse, port, type Command } from './command.ts'

export const display: Command = {
  summary: 'a sink to try things with: prints the CloudEvents that arrive',
  help: `Usage: mqtt-broker-source display [--port 8090] [--host 127.0.0.1]

Receives CloudEvents over HTTP in binary, structured and batched mode, prints them as Knative's event_display does, and
answers 202; or 400 with the reason for what is no CloudEvent.
`,
  async execute (argv) {
    const { values } = parse(argv, {
      options: { port: { type: 'string', default: '8090' }, host: { type: 'string', default: '127.0.0.1' } }
    })
    const receiver = createDisplayReceiver({ host: values.host, port: port(values.port), stream: process.stdout })
    process.stderr.write(`waiting for CloudEvents on http://${await receiver.start()}/\n`)
    takeSignals()
    await new Promise<void>((resolve) => {
      process.once('SIGINT', resolve)
      process.once('SIGTERM', resolve)
    })
    await receiver.close()
    return 0
  }
}
