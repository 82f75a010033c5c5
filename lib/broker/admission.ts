/**
 * The last step before a session begins, when it is known who the client is: is there a place for it? Who has too many
 * sessions is closed without a CONNACK, because it passes by itself; a session that cannot be kept is made a clean one,
 * so that what the device publishes is not lost for it. Whoever is let in takes over the session that is open.
 */
import type { Telemetry } from '../telemetry/telemetry.ts'
import type { AedesClient, AedesHooks } from './aedes-types.ts'
import { fieldsOf, type Identities } from './identities.ts'
import type { IdentityLimit } from './identity-limit.ts'
import type { OpenSessions } from './open-sessions.ts'
import type { Sessions } from './sessions.ts'

export interface AdmissionOptions {
  readonly identities: Identities
  readonly identityLimit: IdentityLimit
  readonly openSessions: OpenSessions
  readonly sessions: Sessions
  readonly telemetry: Telemetry
}

/** Makes the hook. */
export function createAdmission (options: AdmissionOptions): AedesHooks['authenticate'] {
  const { identities, identityLimit, openSessions, sessions, telemetry } = options
  return (client, _username, _password, callback) => {
    // Aedes lets nobody in who has gone, and nobody would give back what such a one takes.
    if (client.closed) return
    const identity = identities.of(client)
    const problem = identityLimit.take(client, identity)
    if (problem !== undefined) {
      // Called back, Aedes would send a CONNACK that makes some clients never come again.
      client.emit('error', problem)
      return
    }
    if (!client.clean) {
      const full = sessions.take(client, identity.username)
      if (full !== undefined) {
        client.clean = true
        telemetry.sessionNotKept(full, fieldsOf(client, identity))
      }
    }
    openSessions.take(client)
    callback(null, true)
  }
}

/**
 * Aedes takes a session without subscriptions for none. Who is told so begins anew, with packet identifiers that are
 * taken for those of before: what is published with one would be acknowledged and dropped [MQTT-3.2.2-2].
 */
export function tellingOfSession (
  admission: AedesHooks['authenticate'], isPresent: (client: AedesClient) => boolean
): AedesHooks['authenticate'] {
  return (client, username, password, callback) => {
    admission(client, username, password, (error, success) => {
      if (success && isPresent(client)) client.conn.announceSession()
      callback(error, success)
    })
  }
}
