import { createError, deleteUser, hashPassword, setUser } from '../../lib/index.ts'
import { askPassword } from '../password-prompt.ts'
import { parse, type Command } from './command.ts'

export const passwd: Command = {
  summary: 'set the password of a user in the user file, or remove the user',
  help: `Usage: mqtt-broker-source passwd [--file users.yaml] USER
       mqtt-broker-source passwd [--file users.yaml] --delete USER

  --file FILE  the user file, which access.users names; it is made where it is not there (users.yaml)
  --delete     remove the user

Asks for the password on a terminal, without showing it; else the first line of standard input is the password. It is
kept as a scrypt hash. Comments and other users stay as they are; the file is replaced in one step.
Exit code 1: there is no such user to remove.
`,
  async execute (argv) {
    const { values, positionals } = parse(argv, {
      options: { file: { type: 'string', default: 'users.yaml' }, delete: { type: 'boolean', default: false } },
      allowPositionals: true
    })
    const [user, ...others] = positionals
    if (user === undefined || others.length > 0) {
      throw createError('MBS_ERR_CLI_USAGE', { reason: 'passwd takes the name of one user, and never the password itself' })
    }
    if (!values.delete) {
      const hash = await hashPassword(await askPassword(user))
      process.stderr.write(`${user} ${await setUser(values.file, user, hash)} in ${values.file}\n`)
      return 0
    }
    const isDeleted = await deleteUser(values.file, user)
    process.stderr.write(isDeleted ? `${user} removed from ${values.file}\n` : `there is no ${user} in ${values.file}\n`)
    return isDeleted ? 0 : 1
  }
}
