/**
 * How files are at the moment, as a text that is the same as long as nobody changed them. Asks the file system and
 * reads no file: cheap enough to be taken every second, and dependable where notifications are not (network file
 * systems, mounts of a container).
 */
import { realpath, stat } from 'node:fs/promises'

/**
 * The state of some files. It changes when one is written in place, replaced by a rename, reached through a symbolic
 * link that points elsewhere, or gets other permissions. A file that cannot be looked at is a state, too: never throws.
 */
export async function fingerprint (files: readonly string[]): Promise<string> {
  return (await Promise.all(files.map(stateOf))).join('\n')
}

async function stateOf (file: string): Promise<string> {
  try {
    const target = await realpath(file)
    // The time of change beside that of modification: it cannot be set back, and tells a chmod.
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(target, { bigint: true })
    return [target, dev, ino, size, mtimeNs, ctimeNs].join(' ')
  } catch (error) {
    return `${file} ${(error as NodeJS.ErrnoException).code}`
  }
}
