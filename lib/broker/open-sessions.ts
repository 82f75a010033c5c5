/**
 * Which connection has each client identifier: the one that was let in last, and no other stays open [MQTT-3.1.4-2].
 *
 * Stands in for that part of Aedes, which closes the one before when the next session begins and looks its sessions up
 * by client identifier alone. A connection with subscriptions is cleaned up a turn after it was closed: when two others
 * took over within that turn, both stayed open, and the clean-up took the newer one out of the books, so that its end
 * was never told. One that closed before its session began was entered, and stayed.
 *
 * Invariant: `clientDisconnect` is raised once for each `client`, whatever happens, after its will was handed on.
 */
import type { AedesClient, SessionBooks } from './aedes-types.ts'

/** So many turns after its connection has closed, Aedes has ended a session and published its will. */
const END_TURNS = 3

export class OpenSessions {
  /** Let in last, by client identifier; its session may not have begun yet. */
  readonly #latest = new Map<string, AedesClient>()
  /** Those that have begun and not ended. */
  readonly #begun = new Set<AedesClient>()

  /** A connection is let in, and will have a session: the one before it is closed, which publishes its will. */
  take (client: AedesClient): void {
    const { id, conn } = client
    const before = this.#latest.get(id)
    this.#latest.set(id, client)
    conn.once('close', () => { if (this.#latest.get(id) === client) this.#latest.delete(id) })
    before?.close()
  }

  /** Takes the place of what Aedes has. */
  attach (books: SessionBooks): void {
    const unregister = books.unregisterClient.bind(books)
    books.registerClient = (client) => {
      if (client.closed) {
        // It was taken over, or its device has gone, while its subscriptions were restored: as if it had not been
        // accepted, with neither CONNACK nor will [MQTT-3.1.2-8].
        client.connecting = false
        client.will = null
        return
      }
      this.#begun.add(client)
      // Aedes does not tell of an end where it finds nobody by that client identifier.
      client.conn.once('close', () => { afterTurns(END_TURNS, () => { books.unregisterClient(client) }) })
      books._finishRegisterClient(client)
    }
    books.unregisterClient = (client) => {
      if (!this.#begun.delete(client)) return
      const entered = books.clients[client.id]
      unregister(client)
      // Aedes deletes whoever has the client identifier by now.
      if (entered !== undefined && entered !== client) books.clients[client.id] = entered
    }
  }
}

function afterTurns (turns: number, work: () => void): void {
  if (turns === 0) work()
  else setImmediate(() => { afterTurns(turns - 1, work) })
}
