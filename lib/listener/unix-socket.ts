/** The file of a Unix socket: what a program that died has left is taken away, what another one listens on is not. */
import { chmod, lstat, unlink } from 'node:fs/promises'
import { connect, type Server } from 'node:net'

/** The bytes that a path may have in `sockaddr_un`, its end left out; a longer one would be cut off without a word. */
const MAX_PATH_BYTES = 107

/** How a listener has its Unix socket. */
export interface UnixSocket {
  readonly path: string
  /** The permissions of its file, such as 0o660; what the umask leaves where they are not given. */
  readonly mode?: number
}

/**
 * Listens on it. Closing the server removes the file.
 * @throws what the system says: EADDRINUSE where a process listens there, or the path is that of another kind of file
 */
export async function listenOnUnixSocket (server: Server, { path, mode }: UnixSocket): Promise<void> {
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) throw new Error(`its path is longer than ${MAX_PATH_BYTES} bytes`)
  try {
    await listen(server, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || !await isStale(path)) throw error
    await unlink(path)
    await listen(server, path)
  }
  if (mode !== undefined) await chmod(path, mode)
}

async function listen (server: Server, path: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ path }, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

/** True for a socket on which nobody listens. */
async function isStale (path: string): Promise<boolean> {
  if (!(await lstat(path)).isSocket()) return false
  return await new Promise((resolve) => {
    const probe = connect({ path })
    probe.once('connect', () => {
      probe.end().resume() // a reset could be too much for whoever it is
      resolve(false)
    })
    probe.once('error', (error: NodeJS.ErrnoException) => { resolve(error.code === 'ECONNREFUSED') })
  })
}
