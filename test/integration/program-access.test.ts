/** Users and what they may, from `passwd` to a session, with the built program. */
import { execFile } from 'node:child_process'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import mqtt from 'mqtt'
import { test } from 'tap'
import { programCommand, spawnProgram, startProgram } from '../support/process.ts'

/** Runs `passwd` with this on its standard input. */
async function passwd (args: readonly string[], input: string, cwd: string) {
  return await new Promise<{ code: number, stdout: string, stderr: string }>((resolve) => {
    const child = execFile(...programCommand(['passwd', ...args]), { cwd }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr })
    })
    child.stdin!.end(input)
  })
}

/** The same on a terminal of its own, which python makes; undefined where there is no python. */
async function onTerminal (args: readonly string[], typed: readonly string[], cwd: string) {
  const script = `
import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
typed = ${JSON.stringify(typed)}
screen = b''
try:
    while True:
        chunk = os.read(fd, 1024)
        if not chunk: break
        screen += chunk
        if screen.endswith(b': ') and typed:
            os.write(fd, typed.pop(0).encode())
            screen += b'|'
except OSError:
    pass
sys.stdout.buffer.write(screen)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`
  return await new Promise<{ code: number, screen: string } | undefined>((resolve) => {
    execFile('python3', ['-c', script, ...programCommand(['passwd', ...args]).flat()], { cwd }, (error, stdout) => {
      if (error?.code === 'ENOENT') resolve(undefined)
      else resolve({ code: error === null ? 0 : Number(error.code), screen: stdout })
    })
  })
}

test('passwd takes the first line of standard input, and nothing of it is shown or kept in clear', async (t) => {
  const directory = t.testdir()
  const file = join(directory, 'users.yaml')
  t.match(await passwd(['alice'], 'wonder land \r\nanother line\n', directory), { code: 0, stdout: '', stderr: /^alice added in users\.yaml\n$/ })
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.notMatch(readFileSync(file, 'utf8'), 'wonder')
  t.match(await passwd(['--file', file, 'alice'], 'new', directory), { code: 0, stderr: /^alice changed/ })
  t.match(await passwd(['--delete', 'alice'], '', directory), { code: 0, stderr: /^alice removed/ })
  t.match(await passwd(['--delete', 'alice'], '', directory), { code: 1, stderr: /^there is no alice/ })
})

test('passwd says what it does not understand, and changes nothing', async (t) => {
  const directory = t.testdir({ 'broken.yaml': 'users: 5\n' })
  t.match(await passwd(['alice'], '', directory), { code: 78, stderr: /^MBS_ERR_CLI_USAGE: .*empty/ })
  t.match(await passwd([], 'x\n', directory), { code: 78, stderr: /^MBS_ERR_CLI_USAGE/ })
  t.match(await passwd(['alice', 'secret'], 'x\n', directory), { code: 78, stderr: /never the password itself/ })
  t.match(await passwd(['--file', 'broken.yaml', 'alice'], 'x\n', directory), { code: 78, stderr: /^MBS_ERR_ACCESS_USERS.*broken\.yaml.*line 1/ })
  t.equal(readFileSync(join(directory, 'broken.yaml'), 'utf8'), 'users: 5\n')
})

test('on a terminal passwd asks twice and shows nothing of what is typed', async (t) => {
  const directory = t.testdir()
  const right = await onTerminal(['alice'], ['wonderlanx\u007fd\r', 'wonderland\r'], directory)
  if (right === undefined) {
    t.comment('NOT CHECKED: python3 is not installed')
    return
  }
  t.match(right, { code: 0, screen: /Password of alice: .*The same again: .*alice added/s })
  t.notMatch(right.screen, 'wonder')
  t.match(await onTerminal(['bob'], ['one\r', 'two\r'], directory), { code: 78, screen: /two passwords differ/ })
  t.match(await onTerminal(['bob'], ['one\u0003'], directory), { code: 78, screen: /no password was given/ })
  t.notMatch(readFileSync(join(directory, 'users.yaml'), 'utf8'), 'bob')
})

test('who has a password gets in, who has none does not, and the program says nothing secret', async (t) => {
  const directory = t.testdir()
  const users = join(directory, 'users.yaml')
  await passwd(['--file', users, 'alice'], 'wonderland\n', directory)
  const program = await startProgram(t, {
    dataDir: join(directory, 'data'),
    listeners: [{ port: 0, anonymous: false }],
    access: { users, clientId: '{username}' },
    http: { port: 0 },
    sink: { kind: 'http' },
    log: { format: 'json' }
  })
  const connect = async (options: object): Promise<number> => {
    const client = mqtt.connect({ host: '127.0.0.1', port: program.port('mqtt'), reconnectPeriod: 0, ...options })
    const code = await new Promise<number>((resolve) => {
      client.once('connect', () => { resolve(0) })
      client.once('error', (error) => { resolve(Number((error as { code?: number }).code)) })
    })
    await client.endAsync(true)
    return code
  }
  t.equal(await connect({ clientId: 'alice', username: 'alice', password: 'wonderland' }), 0)
  t.equal(await connect({ clientId: 'alice', username: 'alice', password: 'wonderlan' }), 4)
  t.equal(await connect({ clientId: 'bob', username: 'alice', password: 'wonderland' }), 5)
  t.equal(await connect({ clientId: 'alice' }), 5)
  const metrics = await (await fetch(`http://${program.address('http')}/metrics`)).text()
  t.match(metrics, 'mqtt_broker_source_authentications_refused_total{reason="wrong-password"} 1')
  t.equal(await program.stop(), 0)
  t.notMatch(program.stdout + program.stderr + metrics, /wonderlan|scrypt/)
})

test('a user file that cannot be used ends the program before it listens, and check finds it', async (t) => {
  const directory = t.testdir()
  const file = join(directory, 'config.yaml')
  writeFileSync(join(directory, 'users.yaml'), 'users: { alice: { password: hush-hush } }\n')
  writeFileSync(file, 'access: { users: users.yaml }\nlisteners: [{ port: 0 }]\nhttp: { port: 0 }\n')
  for (const command of ['run', 'check']) {
    const program = spawnProgram(t, [command, '--config', file], { cwd: directory })
    t.equal((await program.exited).code, 78, command)
    t.match(program.stderr, /MBS_ERR_ACCESS_USERS.*users\.yaml.*line 1: user "alice"/)
    t.notMatch(program.stderr, 'hush')
  }
})
