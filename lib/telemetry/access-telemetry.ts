/** What happens to who may come in, and to the files that say it: the part of telemetry that access and reload call. */
import type { MbsError } from '../errors.ts'
import type { AuthMethod } from '../message.ts'
import { TelemetryBase, type ConnectionFields } from './telemetry-base.ts'

/** What is in files that are read again; a label of a metric, so the list is closed. */
export type ReloadKind =
  'tls' | 'sink-ca' | 'sink-tls' | 'sink-headers' | 'sink-auth' | 'users' | 'permissions' | 'jwks' | 'hook' | 'tracing'

/** What a log line about files that were read again says; never what is in them. */
export interface ReloadFields {
  readonly kind: ReloadKind
  readonly what: string
  readonly files: readonly string[]
  readonly reason: string
}

export class AccessTelemetry extends TelemetryBase {
  // ---- files ---------------------------------------------------------------------------------------------------

  /** Files were read again, and what is in them is in force. */
  reloaded (fields: ReloadFields): void {
    this.metrics.reloads.labels(fields.kind, 'ok').inc()
    this.log.info(fields, 'read again')
  }

  /** Files were read again and cannot be used; what was in force stays. */
  reloadFailed (error: MbsError, fields: ReloadFields): void {
    this.metrics.reloads.labels(fields.kind, 'failed').inc()
    this.log.error({ code: error.code, ...fields, err: error, help: error.help }, error.message)
  }

  /**
   * A listener has a certificate from now on, and revocation lists where it has any.
   * @param expiry milliseconds since the epoch
   */
  tlsInForce (listener: string, expiry: { readonly certificate: number, readonly crl: number | undefined }): void {
    this.metrics.certificateExpiry.labels(listener).set(expiry.certificate / 1000)
    if (expiry.crl === undefined) this.metrics.crlExpiry.remove(listener)
    else this.metrics.crlExpiry.labels(listener).set(expiry.crl / 1000)
  }

  certificateExpires (fields: { listener: string, expiresAt: string }): void {
    this.log.warn(fields, 'the certificate of this listener expires soon')
  }

  /** Devices that check it do not connect any more. */
  certificateExpired (fields: { listener: string, expiresAt: string }): void {
    this.log.error(fields, 'the certificate of this listener has expired')
  }

  /** OpenSSL trusts no client certificate of its authority any more. */
  crlExpired (fields: { listener: string, expiresAt: string }): void {
    this.log.error(fields, 'a revocation list of this listener has expired: no client certificate is accepted')
  }

  /** Someone asks to read everything again, and permissions are not in a file of their own. */
  permissionsNotRead (): void {
    this.log.warn('access.permissions stands in the configuration, which is read at the start only: ' +
      'to change permissions while the program runs, put them into a file and name it in access.permissionsFile')
  }

  // ---- access ----------------------------------------------------------------------------------------------------

  /** A token was refused. @param fault one of a closed list */
  tokenRefused (fault: string, fields: ConnectionFields): void {
    this.metrics.tokensRefused.labels(fault).inc()
    this.log.debug({ fault, ...fields }, 'a token was refused')
  }

  tokenKeysLoaded (fields: { source: string, keys: number }): void {
    this.metrics.tokenKeyLoads.labels('loaded').inc()
    this.log.debug(fields, 'the keys that tokens are checked with are loaded')
  }

  /** The URL of the keys could not be used. @param inForce keys of an earlier answer are still good */
  tokenKeysFailed (error: MbsError, fields: { inForce: boolean }): void {
    this.metrics.tokenKeyLoads.labels('failed').inc()
    this.repeated(`${error.code} ${fields.inForce}`, (suppressed) => {
      const line = { code: error.code, ...fields, help: error.help, suppressed }
      if (fields.inForce) this.log.warn(line, error.message)
      else this.log.error(line, error.message)
    })
  }

  hookAnswered (answer: 'allow' | 'deny' | 'ignore'): void {
    this.metrics.hookRequests.labels(answer).inc()
  }

  /** The authentication hook told nothing, and its device was not let in. @param why one of a closed list */
  hookFailed (error: MbsError, why: string): void {
    this.metrics.hookRequests.labels(why).inc()
    this.repeated(`${error.code} ${why}`, (suppressed) => {
      this.log.error({ code: error.code, why, help: error.help, suppressed }, error.message)
    })
  }

  authenticated (method: AuthMethod): void {
    this.metrics.authenticated.labels(method).inc()
  }

  /** Someone was not let in. `reason` is one of a closed list; the name only where such a user exists. */
  authenticationRefused (error: MbsError, reason: string, fields: ConnectionFields & { username?: string }): void {
    this.metrics.authenticationRefused.labels(reason).inc()
    this.metrics.connectionErrors.labels(error.code).inc()
    this.repeated(`refused ${reason}`, (suppressed) => {
      this.log.warn({ code: error.code, reason, ...fields, help: error.help, suppressed }, error.message)
    })
  }

  usersLoaded (fields: { file: string, users: number }): void {
    this.log.info(fields, 'users loaded')
  }
}
