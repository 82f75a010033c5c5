import { createDiskOutbox } from '../../lib/outbox/disk.ts'
import { outboxContract } from './outbox.ts'

outboxContract('disk', (test, options) => createDiskOutbox({ ...options, directory: test.testdir() }))
