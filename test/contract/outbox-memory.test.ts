import { createMemoryOutbox } from '../../lib/outbox/memory.ts'
import { outboxContract } from './outbox.ts'

outboxContract('memory', (_test, options) => createMemoryOutbox(options))
