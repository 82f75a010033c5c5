/** A certificate authority and a certificate of its own, made at run time with the openssl program. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface SinkCertificates {
  /** PEM of the authority. */
  readonly ca: string
  readonly key: string
  readonly cert: string
}

/**
 * @param parent such as t.testdir()
 * @param names whom the certificate is for, as openssl writes them
 */
export function createSinkCertificates (
  parent: string, names = 'DNS:localhost,IP:127.0.0.1'
): SinkCertificates {
  const directory = mkdtempSync(join(parent, 'certs-'))
  const file = (name: string) => join(directory, name)
  const openssl = (...args: string[]) => { execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' }) }
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  writeFileSync(file('ext.cnf'), `subjectAltName=${names}\n`)
  openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.crt', '-subj', '/CN=test authority', '-days', '2')
  openssl('req', ...key, '-keyout', 'tls.key', '-out', 'tls.csr', '-subj', '/CN=sink')
  openssl('x509', '-req', '-in', 'tls.csr', '-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-out', 'tls.crt',
    '-days', '2', '-extfile', 'ext.cnf')
  const read = (name: string) => readFileSync(file(name), 'utf8')
  return { ca: read('ca.crt'), key: read('tls.key'), cert: read('tls.crt') }
}
