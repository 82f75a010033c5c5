/**
 * How files are at the moment, as a text that is the same as long as nobody changed them. Asks the file system and
 * reads no file: cheap enough to be taken every second, and dependable where notifications are not (network file
 * systems, mounts of a container).
 */
import { readdir, realpath, stat } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * The state of some files. It changes when one is written in place, replaced by a rename, reached through a symbolic
 * link that points elsewhere, or gets other permissions. That of a directory is the state of all that is in it; none in
 * it is looked into. A file that cannot be looked at is a state, too: never throws.
 */
export async function fingerprint (files: readonly string[]): Promise<string> {
  return (await Promise.all(files.map((file) => stateOf(file)))).join('\n')
}

async function stateOf (file: string, isEntry = false): Promise<string> {
  try {
    const target = await realpath(file)
    // The time of change beside that of modification: it cannot be set back, and tells a chmod.
    const stats = await stat(target, { bigint: true })
    const { dev, ino, size, mtimeNs, ctimeNs } = stats
    const state = [target, dev, ino, size, mtimeNs, ctimeNs].join(' ')
    if (isEntry || !stats.isDirectory()) return state
    const entries = await readdir(target)
    return [state, ...await Promise.all(entries.sort().map((name) => stateOf(join(target, name), true)))].join('\n')
  } catch (error) {
    return `${file} ${(error as NodeJS.ErrnoException).code}`
  }
}
