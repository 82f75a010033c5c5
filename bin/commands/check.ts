import {
  checkConfig, checkPermission, createError, EXIT_CONFIG, formatConfig, formatProblems, type Config,
  type PermissionQuestion
} from '../../lib/index.ts'
import { parse, type Command } from './command.ts'

export const check: Command = {
  summary: 'say what is wrong with a configuration, all of it at once; or who may do what',
  help: `Usage: mqtt-broker-source check [--config FILE] [--print]
       mqtt-broker-source check [--config FILE] --as USER --topic TOPIC [--subscribe]
                                [--client-id ID] [--cn NAME] [--claim NAME=VALUE ...]

  --config FILE  the configuration, in YAML
  --print        print every setting with its value and where it comes from

Looks at the file, the environment and the certificate files that are named. Opens no port and asks no sink.
Exit code 0: it can be used. 78: it cannot, and each mistake is on standard error.

  --as USER           the name of a user, or "anonymous" for a session without credentials
  --topic TOPIC       whether that user may publish to this topic, and by which rule of access.permissions
  --subscribe         the same for a subscription: TOPIC is a topic filter
  --client-id ID      the client identifier; unless given, the only one that access.clientId lets the user take, or the
                      name of the user
  --cn NAME           the common name of the client's certificate
  --claim NAME=VALUE  a claim of the client's token

Exit code 0: it may. 1: it may not.
`,
  async execute (argv) {
    const { values } = parse(argv, {
      options: {
        config: { type: 'string' },
        print: { type: 'boolean', default: false },
        as: { type: 'string' },
        topic: { type: 'string' },
        subscribe: { type: 'boolean' },
        'client-id': { type: 'string' },
        cn: { type: 'string' },
        claim: { type: 'string', multiple: true }
      }
    })
    const question = questionOf(values)
    const { problems, warnings, loaded } = checkConfig({ file: values.config })
    for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`)
    if (loaded === undefined) {
      process.stderr.write(`${formatProblems(problems)}\n`)
      return EXIT_CONFIG
    }
    if (values.print) process.stdout.write(`${formatConfig(loaded)}\n`)
    if (question !== undefined) return answer(loaded.config, question)
    process.stderr.write('The configuration can be used.\n')
    return 0
  }
}

interface Options {
  as?: string
  topic?: string
  subscribe?: boolean
  'client-id'?: string
  cn?: string
  claim?: string[]
}

/** @throws MBS_ERR_CLI_USAGE */
function questionOf ({ as, topic, subscribe, 'client-id': clientId, cn, claim }: Options): PermissionQuestion | undefined {
  if ((as === undefined) !== (topic === undefined)) {
    throw createError('MBS_ERR_CLI_USAGE', { reason: '--as and --topic go together' })
  }
  if (as === undefined || topic === undefined) {
    if ([subscribe, clientId, cn, claim].every((option) => option === undefined)) return undefined
    throw createError('MBS_ERR_CLI_USAGE', { reason: '--subscribe, --client-id, --cn and --claim go with --as and --topic' })
  }
  const claims = claim === undefined ? undefined : Object.fromEntries(claim.map(claimOf))
  return { user: as, topic, action: subscribe === true ? 'subscribe' : 'publish', clientId, commonName: cn, claims }
}

function claimOf (text: string): [string, string] {
  const at = text.indexOf('=')
  if (at < 1) throw createError('MBS_ERR_CLI_USAGE', { reason: `--claim takes NAME=VALUE, not "${text}"` })
  return [text.slice(0, at), text.slice(at + 1)]
}

function answer (config: Config, question: PermissionQuestion): number {
  const { allowed, reason } = checkPermission(config, question)
  const what = question.action === 'publish' ? 'publish to' : 'subscribe to'
  const verb = allowed ? 'may' : 'may not'
  process.stdout.write(`${allowed ? 'yes' : 'no'}: ${question.user} ${verb} ${what} ${JSON.stringify(question.topic)}: ${reason}\n`)
  return allowed ? 0 : 1
}
