/** Certificates and revocation lists made at run time with the openssl program: authorities, servers, clients. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']

/** Makes files in a directory, which is there already. */
export class Certificates {
  readonly #directory: string

  constructor (directory: string) {
    this.#directory = directory
  }

  /** The path of a file: of a name there is `<name>.crt`, `<name>.key` and, of an authority, `<name>.crl`. */
  file (name: string): string {
    return join(this.#directory, name)
  }

  read (name: string): string {
    return readFileSync(this.file(name), 'utf8')
  }

  /** Writes a file of its own. */
  write (name: string, text: string): string {
    writeFileSync(this.file(name), text)
    return this.file(name)
  }

  /** Makes a key and a certificate signed by itself, which can be an authority. */
  authority (name: string, days = 30): void {
    this.#openssl('req', '-x509', ...KEY, '-days', String(days), '-keyout', `${name}.key`, '-out', `${name}.crt`, '-subj', `/CN=${name}`)
  }

  /**
   * Makes a key and a certificate for it.
   * @param options.names whom it is for, as openssl writes them
   * @param options.authority true: it can issue others
   */
  issue (
    name: string, issuer: string, { names = 'DNS:localhost,IP:127.0.0.1', days = 30, authority = false } = {}
  ): void {
    this.write(`${name}.cnf`, `subjectAltName=${names}\n${authority ? 'basicConstraints=critical,CA:true\n' : ''}`)
    this.#openssl('req', ...KEY, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`)
    this.#openssl('x509', '-req', '-in', `${name}.csr`, '-CA', `${issuer}.crt`, '-CAkey', `${issuer}.key`, '-CAcreateserial',
      '-out', `${name}.crt`, '-days', String(days), '-extfile', `${name}.cnf`)
  }

  /** Makes `<issuer>.crl`, which revokes these certificates and no other. */
  revoke (issuer: string, revoked: readonly string[], { expired = false } = {}): string {
    this.write('ca.cnf', '[ca]\ndefault_ca=here\n[here]\ndatabase=index.txt\ncrlnumber=number\ndefault_md=sha256\ndefault_crl_days=2\n')
    this.write('index.txt', '')
    this.write('number', '01\n')
    const ca = ['ca', '-config', 'ca.cnf', '-cert', `${issuer}.crt`, '-keyfile', `${issuer}.key`]
    for (const name of revoked) this.#openssl(...ca, '-revoke', `${name}.crt`)
    const times = expired ? ['-crl_lastupdate', '20200101000000Z', '-crl_nextupdate', '20200102000000Z'] : []
    this.#openssl(...ca, '-gencrl', ...times, '-out', `${issuer}.crl`)
    return this.file(`${issuer}.crl`)
  }

  #openssl (...args: string[]): void {
    try {
      execFileSync('openssl', args, { cwd: this.#directory, stdio: 'pipe' })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      throw new Error('these tests need the openssl program, and it is not installed', { cause: error })
    }
  }
}

/**
 * The authorities `ca` and `other-ca`; of the first `server` and `client`, of the other one `stranger`.
 * @param directory such as t.testdir()
 */
export function createCertificates (directory: string): Certificates {
  const certificates = new Certificates(directory)
  certificates.authority('ca')
  certificates.authority('other-ca')
  certificates.issue('server', 'ca')
  certificates.issue('client', 'ca')
  certificates.issue('stranger', 'other-ca')
  return certificates
}

/** Makes a key and a certificate signed by it for two days, and tells their paths. */
export function makeCertificate (directory: string, name: string): { cert: string, key: string } {
  const certificates = new Certificates(directory)
  certificates.authority(name, 2)
  return { cert: certificates.file(`${name}.crt`), key: certificates.file(`${name}.key`) }
}

/**
 * An authority and a certificate of it, as PEM, in a directory of their own.
 * @param parent such as t.testdir()
 * @param names whom the certificate is for, as openssl writes them
 */
export function createSinkCertificates (parent: string, names?: string): { ca: string, cert: string, key: string } {
  const certificates = new Certificates(mkdtempSync(join(parent, 'certs-')))
  certificates.authority('ca')
  certificates.issue('sink', 'ca', names === undefined ? {} : { names })
  return { ca: certificates.read('ca.crt'), cert: certificates.read('sink.crt'), key: certificates.read('sink.key') }
}
