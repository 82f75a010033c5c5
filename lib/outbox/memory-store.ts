/** A database in memory. Opened again it has what it had; gone with the process. */
import { MemoryLevel } from 'memory-level'
import { levelDatabase } from '../level/level-database.ts'
import type { Database, Evidence, OpenedDatabase, Store } from './database.ts'

export class MemoryStore implements Store {
  readonly kind = 'memory'
  readonly location = 'memory'
  readonly #level = new MemoryLevel<Buffer, Buffer>({ keyEncoding: 'buffer', valueEncoding: 'buffer' })
  readonly #database: Database = levelDatabase(this.#level)

  async inspect (): Promise<Evidence> {
    return { clean: true, next: 1, walFirst: undefined }
  }

  async open (): Promise<OpenedDatabase> {
    await this.#level.open()
    return { database: this.#database, repaired: undefined }
  }

  async closed (): Promise<void> {}
}
