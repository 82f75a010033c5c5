/** Who each session is, from CONNECT on: the one place where the hooks ask. */
import type { ClientIdentity, Identity } from '../message.ts'
import type { AedesClient } from './aedes-types.ts'

/** What a log line says of a session: where it is connected, and the name that was proven. */
export function fieldsOf ({ conn, id }: AedesClient, { username }: Identity) {
  return { ...conn.facts, clientId: id, ...(username !== undefined && { username }) }
}

/** Who a session is, as the next stages are told. */
export function clientOf ({ clientId, method, username, certificate }: Identity): ClientIdentity {
  if (certificate !== undefined) {
    return { id: clientId, method, certificate, ...(username !== undefined && { username }) }
  }
  return username === undefined ? { id: clientId, method } : { id: clientId, method, username }
}

export class Identities {
  readonly #byClient = new WeakMap<object, Identity>()

  /** Says who a client is, before its session begins. */
  set (client: AedesClient, identity: Identity): void {
    this.#byClient.set(client, identity)
  }

  /** Who a client is; one that nothing is known of is nobody in particular. */
  of (client: AedesClient): Identity {
    return this.#byClient.get(client) ?? { clientId: client.id, method: 'anonymous' }
  }
}
