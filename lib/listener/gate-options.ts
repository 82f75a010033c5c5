/** What the frame gate of one connection is given: its bounds, and what is known of the other side. */
import type { PeerCertificate } from '../message.ts'
import type { ScanLimits } from './frame-scanner.ts'
import type { InflightBytes } from './inflight-bytes.ts'
import type { RateLimits, ReachedRate } from './rates.ts'
import type { Transport } from './transport.ts'

export interface GateLimits extends ScanLimits, RateLimits {
  /** Publishes that may be under way at a time. */
  readonly inflightPerClient: number
  /** From the connection to the session. */
  readonly connectTimeoutMs: number
  /** From the first byte of a packet to its last. */
  readonly packetTimeoutMs: number
  /** Bytes that may wait for a device that does not read as fast as messages come. */
  readonly unreadBytes: number
  /** How long a device may read nothing while something waits for it. */
  readonly drainTimeoutMs: number
}

/** What a log line says of a connection. */
export interface ConnectionFacts {
  /** The listener that accepted it. */
  readonly listener: string
  /** Address and port of the other side. */
  readonly address: string
}

/** What is known of a device before it has said anything; for the broker, not for logs. */
export interface PeerFacts {
  /** Its IP address, without the port. */
  readonly ip: string
  /** True where the bytes come over TLS. */
  readonly secure: boolean
  /** True where the listener lets in who shows nothing. */
  readonly anonymous: boolean
  /** The certificate that it proved in TLS, valid by the CA of the listener. */
  readonly certificate?: PeerCertificate
}

export interface FrameGateOptions {
  readonly socket: Transport
  /** `performance.now()` at which the connection came; now, unless given. */
  readonly openedAt?: number
  readonly facts: ConnectionFacts
  readonly peer: PeerFacts
  readonly limits: GateLimits
  /** Shared by all connections. */
  readonly inflight: InflightBytes
  /** Called each time that the device is held back because it sends more in a second than it may. */
  readonly rateReached?: (limit: ReachedRate) => void
}
