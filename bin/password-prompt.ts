/** Asks for a password: without echo on a terminal, and twice; else the first line of standard input is it. */
import { createInterface } from 'node:readline'
import type { ReadStream } from 'node:tty'
import { createError } from '../lib/index.ts'

const ENTER = /[\r\n]/
const INTERRUPT = '\u0003'
const END = '\u0004'
const BACKSPACE = new Set(['\u007f', '\b'])

/** @throws MBS_ERR_CLI_USAGE where there is none, or the second one differs */
export async function askPassword (user: string): Promise<string> {
  const { stdin } = process
  const password = stdin.isTTY ? await askTwice(stdin, user) : await firstLine(stdin)
  if (password === '') throw createError('MBS_ERR_CLI_USAGE', { reason: 'the password is empty' })
  return password
}

async function askTwice (terminal: ReadStream, user: string): Promise<string> {
  // Before the question, and for both: who types at once must not see it either.
  terminal.setRawMode(true)
  terminal.setEncoding('utf8')
  try {
    const first = await ask(terminal, `Password of ${user}: `)
    const second = await ask(terminal, 'The same again: ')
    if (first !== second) throw createError('MBS_ERR_CLI_USAGE', { reason: 'the two passwords differ' })
    return first
  } finally {
    terminal.setRawMode(false)
    terminal.pause()
  }
}

/** One line of a terminal in raw mode, which shows nothing of it. Ctrl-C and Ctrl-D give up. */
async function ask (terminal: ReadStream, question: string): Promise<string> {
  process.stderr.write(question)
  const typed: string[] = []
  try {
    return await new Promise<string>((resolve, reject) => {
      const leave = (act: () => void): void => {
        terminal.off('data', read)
        act()
      }
      const read = (text: string): void => {
        const characters = Array.from(text)
        for (const [at, character] of characters.entries()) {
          if (ENTER.test(character)) {
            const rest = characters.slice(at + 1).join('')
            leave(() => { resolve(typed.join('')) })
            // What was pasted behind the line belongs to the next question.
            if (rest !== '') terminal.unshift(rest)
            return
          }
          if (character === INTERRUPT || character === END) {
            leave(() => { reject(createError('MBS_ERR_CLI_USAGE', { reason: 'no password was given' })) })
            return
          }
          if (BACKSPACE.has(character)) typed.pop()
          else typed.push(character)
        }
      }
      terminal.on('data', read)
      terminal.resume()
    })
  } finally {
    process.stderr.write('\n')
  }
}

/** Without its line end; the empty text where nothing comes. */
async function firstLine (input: NodeJS.ReadStream): Promise<string> {
  const lines = createInterface({ input, crlfDelay: Infinity })
  try {
    const { value, done } = await lines[Symbol.asyncIterator]().next()
    return done === true ? '' : value
  } finally {
    lines.close()
  }
}
