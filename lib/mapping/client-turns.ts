/**
 * Whose job is next: clients take turns, and none has more than one job under way. So what one of them has waiting
 * delays the others by one job, however much it is; the jobs of a client keep their order. Pure, and knows nothing of
 * what jobs do.
 */

export class ClientTurns<J extends { readonly clientId: string }> {
  /** What each client has waiting; empty where all that it has is under way. */
  readonly #lines = new Map<string, J[]>()
  /** Clients with something waiting and nothing under way, in turn. */
  readonly #ring = new Set<string>()

  add (job: J): void {
    const line = this.#lines.get(job.clientId)
    if (line !== undefined) {
      line.push(job)
      return
    }
    this.#lines.set(job.clientId, [job])
    this.#ring.add(job.clientId)
  }

  /** The job whose turn it is; it is under way until `done`. */
  take (): J | undefined {
    const clientId = this.#ring.values().next().value
    if (clientId === undefined) return undefined
    this.#ring.delete(clientId)
    return this.#lines.get(clientId)?.shift()
  }

  /** The job that this client had under way has ended: it is in turn again, behind the others. */
  done (clientId: string): void {
    const line = this.#lines.get(clientId)
    if (line === undefined) return
    if (line.length > 0) this.#ring.add(clientId)
    else this.#lines.delete(clientId)
  }

  /** Takes all that this client has waiting. */
  removeOf (clientId: string): J[] {
    const jobs = this.#lines.get(clientId)?.splice(0) ?? []
    if (this.#ring.delete(clientId)) this.#lines.delete(clientId)
    return jobs
  }

  /** Takes all that waits, and forgets what is under way. */
  clear (): J[] {
    const jobs = [...this.#lines.values()].flat()
    this.#lines.clear()
    this.#ring.clear()
    return jobs
  }
}
