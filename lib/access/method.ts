/**
 * One way to prove who a device is. Methods are asked in turn; each says of itself whether the credentials are of its
 * kind. Wrong credentials are a value, not an exception: a method never throws and settles when the signal is aborted.
 */
import type { AuthMethod, Credentials } from '../message.ts'

/** Why credentials were refused; a label of a metric, so the list is closed. */
export type RefusalReason =
  | 'unknown-user' | 'wrong-password' | 'certificate' | 'token-invalid' | 'token-expired' | 'denied' | 'missing'

export type MethodResult =
  /** Proven. `expiresAt`: milliseconds since the epoch at which the session has to end. */
  | {
    readonly kind: 'accepted'
    readonly username: string
    readonly claims?: Readonly<Record<string, unknown>>
    readonly expiresAt?: number
  }
  /** Of this kind, and wrong. No other method is asked. */
  | { readonly kind: 'refused', readonly reason: RefusalReason }
  /** It cannot be told at the moment; the device is not let in and may try again. */
  | { readonly kind: 'unavailable', readonly reason: string }
  /** Not credentials of this kind: the next method is asked. */
  | { readonly kind: 'skipped' }

/** `nothing`: proven already; `token`: says by itself who it is, whatever name is shown with it. */
export type Guess = 'nothing' | 'token'

export interface AuthenticationMethod {
  readonly method: AuthMethod
  /**
   * What could be guessed here, where the credentials are of a kind that this method alone judges; undefined: they are
   * not. A method without it judges passwords.
   */
  guessOf? (credentials: Credentials): Guess | undefined
  authenticate (credentials: Credentials, signal: AbortSignal): Promise<MethodResult>
}
