import { test } from 'tap'
import { join } from 'node:path'
import type { Command } from '../../../bin/commands/command.ts'
import { health } from '../../../bin/commands/health.ts'
import { selftest } from '../../../bin/commands/selftest.ts'
import { EXIT_CONFIG } from '../../../lib/errors.ts'

test('selftest and health refuse a command line that cannot be meant', async (t) => {
  const secret = join(t.testdir({ secret: 'x' }), 'secret')
  const url = ['--url', 'mqtt://127.0.0.1:1']
  const wrong: ReadonlyArray<readonly [Command, readonly string[], RegExp]> = [
    [selftest, [], /--url is missing/],
    [selftest, ['--url', 'http://127.0.0.1:1883'], /mqtt:\/\/, mqtts:\/\//],
    [selftest, ['--url', 'mqtt://ada:sesame@127.0.0.1:1'], /no credentials/],
    [selftest, ['--url', 'mqtt://127.0.0.1:1/?clientId=x'], /no query/],
    [selftest, [...url, '--topic', 'a/+'], /without wildcards/],
    [selftest, [...url, '--password-file', secret], /goes with --username/],
    [selftest, [...url, '--username', 'ada', '--password-file', 'gone'], /gone cannot be read: ENOENT/],
    [selftest, ['--url', 'mqtts://127.0.0.1:1', '--cert', secret], /go together/],
    [selftest, [...url, '--ca', secret], /go with mqtts/],
    [selftest, [...url, '--http', '127.0.0.1:8080'], /--http takes a URL/],
    [selftest, [...url, '--timeout', '10'], /--timeout takes an ISO 8601 duration/],
    [selftest, [...url, '--qos', '2'], /--qos/],
    [health, ['--url', 'livez'], /--url takes a URL/],
    [health, ['--url', 'http://127.0.0.1:1/', '--config', 'x.yaml'], /exclude each other/],
    [health, ['--timeout', 'PT0S'], /--timeout takes/]
  ]
  for (const [command, args, message] of wrong) {
    await t.rejects(command.execute(args), { code: 'MBS_ERR_CLI_USAGE', exitCode: EXIT_CONFIG, message }, args.join(' '))
  }
  const quoted = await selftest.execute(['--url', 'mqtt://ada:sesame@127.0.0.1:1']).catch((error: unknown) => error as Error)
  t.notMatch((quoted as Error).message, 'sesame')
})
