/** Tells when the certificate of a listener is about to expire, once a day, and as a metric at any time. */
import type { Telemetry } from '../telemetry/telemetry.ts'

const DAY_MS = 86_400_000

/** A certificate that expires within this is warned about. */
const SOON_MS = 14 * DAY_MS

/** When something expires, in milliseconds since the epoch. */
export interface TlsExpiry {
  /** The certificate, or the first of its intermediates. */
  readonly certificate: number
  /** The first revocation list; absent where there is none, or none that says. */
  readonly crl: number | undefined
}

export class ExpiryWatch {
  readonly #listener: string
  readonly #telemetry: Telemetry
  #timer: NodeJS.Timeout | undefined

  /** @param listener names it in logs and metrics */
  constructor (listener: string, telemetry: Telemetry) {
    this.#listener = listener
    this.#telemetry = telemetry
  }

  /** From now on this is in force. Looks at once, and then once a day; keeps no process alive. */
  set (expiry: TlsExpiry): void {
    this.stop()
    this.#telemetry.tlsInForce(this.#listener, expiry)
    this.#look(expiry)
    this.#timer = setInterval(() => { this.#look(expiry) }, DAY_MS).unref()
  }

  stop (): void {
    clearInterval(this.#timer)
  }

  #look ({ certificate, crl }: TlsExpiry): void {
    const now = Date.now()
    const fields = (expiry: number) => ({ listener: this.#listener, expiresAt: new Date(expiry).toISOString() })
    if (certificate <= now) this.#telemetry.certificateExpired(fields(certificate))
    else if (certificate <= now + SOON_MS) this.#telemetry.certificateExpires(fields(certificate))
    if (crl !== undefined && crl <= now) this.#telemetry.crlExpired(fields(crl))
  }
}
