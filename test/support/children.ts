/** The processes that a process has started, from /proc. */
import { readdirSync, readFileSync } from 'node:fs'

export function childrenOf (parent: number | undefined): number[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).filter((name) => parentOf(name) === parent).map(Number)
}

/** Undefined where it has ended. Its name, in parentheses, may hold anything. */
function parentOf (pid: string): number | undefined {
  try {
    const [state, ppid] = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ')
    return state === 'Z' ? undefined : Number(ppid)
  } catch {
    return undefined
  }
}
