/**
 * Keeps the answers of a client in the order of its publishes [MQTT-4.6.0-2] where one of them waits for more than its
 * append: those behind it have their turn after it. Appends bring their answers in order themselves, so that only the
 * clients are known here that have such a publish under way.
 */
export class AnswerOrder<Outcome> {
  /** The last answer that each of them waits for. */
  readonly #last = new Map<string, Promise<Outcome>>()

  /** True where an answer of this client has to wait for its turn. */
  has (client: string): boolean {
    return this.#last.has(client)
  }

  /** The outcome in its turn. Neither may reject. */
  after (client: string, outcome: Promise<Outcome>): Promise<Outcome> {
    const before = this.#last.get(client)
    const turn = before === undefined ? outcome : before.then(() => outcome)
    this.#last.set(client, turn)
    void turn.then(() => {
      if (this.#last.get(client) === turn) this.#last.delete(client)
    })
    return turn
  }
}
