/** Certificates made at run time with the openssl program: an authority, a server, and clients good and bad. */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Certificates {
  /** The path of a file: `ca.crt`, `server.crt`, `server.key`, `client.crt`, `stranger.crt` and their keys. */
  file (name: string): string
  read (name: string): string
  /** Writes a file of its own. */
  write (name: string, text: string): string
}

/** @param directory such as t.testdir() */
export function createCertificates (directory: string): Certificates {
  const file = (name: string) => join(directory, name)
  const openssl = (...args: string[]) => {
    try {
      execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      throw new Error('these tests need the openssl program, and it is not installed', { cause: error })
    }
  }
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
  const authority = (name: string) => {
    openssl('req', '-x509', ...key, '-keyout', `${name}.key`, '-out', `${name}.crt`, '-subj', `/CN=${name}`)
  }
  const issue = (name: string, issuer: string) => {
    writeFileSync(file(`${name}.cnf`), 'subjectAltName=DNS:localhost,IP:127.0.0.1\n')
    openssl('req', ...key, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`)
    openssl('x509', '-req', '-in', `${name}.csr`, '-CA', `${issuer}.crt`, '-CAkey', `${issuer}.key`, '-CAcreateserial',
      '-out', `${name}.crt`, '-days', '2', '-extfile', `${name}.cnf`)
  }
  authority('ca')
  authority('other-ca')
  issue('server', 'ca')
  issue('client', 'ca')
  issue('stranger', 'other-ca')
  return {
    file,
    read: (name) => readFileSync(file(name), 'utf8'),
    write: (name, text) => {
      writeFileSync(file(name), text)
      return file(name)
    }
  }
}
