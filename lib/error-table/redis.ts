/** What goes wrong with Redis: connections, and the outbox in it. */
import { EXIT_CONFIG, type ErrorEntry } from './entry.ts'

export const redisErrors = {
  MBS_ERR_REDIS_CONNECT: {
    message: 'Redis at {address} cannot be reached: {reason}.',
    help: 'Check redis.url (or sentinel, cluster), that Redis runs and listens there, and that no firewall or NetworkPolicy stands between. While the program runs it connects again by itself.',
    retryable: true
  },
  MBS_ERR_REDIS_AUTH: {
    message: 'Redis at {address} does not let this program in: {reason}.',
    help: 'Correct redis.username and what is in redis.passwordFile; docs/redis.md says which commands and keys the user needs.',
    exitCode: EXIT_CONFIG
  },
  MBS_ERR_REDIS_DATABASE: {
    message: 'Redis at {address} does not give this program its database: {reason}.',
    help: 'Correct the number behind the host in redis.url: Redis has the databases 0 to 15 (its setting `databases`), a node of a Cluster only 0.',
    exitCode: EXIT_CONFIG
  },
  MBS_ERR_REDIS_VERSION: {
    message: 'Redis at {address} has version {version}, and 6.2 or later is needed.',
    help: 'Upgrade Redis, or its compatible replacement, to one that speaks the commands of Redis 6.2.',
    exitCode: EXIT_CONFIG
  },
  MBS_ERR_REDIS_EVICTION: {
    message: 'Redis at {address} may delete acknowledged events to make room: its maxmemory-policy is {policy}.',
    help: 'Set maxmemory-policy to noeviction (or a volatile one: nothing of the outbox has a lifetime that Redis may end), or give the outbox a Redis of its own.',
    exitCode: EXIT_CONFIG
  },
  MBS_ERR_REDIS_FILE: {
    message: 'A file of the section redis cannot be used: {reason}.',
    help: 'Check redis.passwordFile and redis.tls: that the files are there, can be read by this user, and hold what they should.',
    exitCode: EXIT_CONFIG
  },
  MBS_ERR_OUTBOX_REDIS: {
    message: 'Redis did not store the event: {reason}; it was not acknowledged.',
    help: 'The device sends it again on reconnect. See /readyz and the log for the state of Redis: out of memory, read-only, loading, or away.',
    retryable: true
  },
  MBS_ERR_OUTBOX_REPLICAS: {
    message: 'Of {wanted} replicas that have to have an event, {found} confirmed it in time; it was not acknowledged.',
    help: 'The event is in the primary and may be delivered; the device sends it again with the same event id. Check the replicas of Redis, or lower outbox.replicas.',
    retryable: true
  },
  MBS_ERR_OUTBOX_PARTITIONS: {
    message: 'The outbox in Redis under {prefix} has {found} partitions, and outbox.partitions is {wanted}.',
    help: 'Set outbox.partitions to what is there. To change it: stop all programs of the group when the outbox is empty (`mqtt-broker-source outbox status`), and delete the key {prefix}outbox.',
    exitCode: EXIT_CONFIG
  },
  MBS_ERR_OUTBOX_LEASE: {
    message: 'The partition {partition} of the outbox is not, or no longer, delivered by this program.',
    help: 'Nothing is to be done: another program of the group delivers it, and knows what has been delivered. Where it comes often, Redis or this program is too slow: see docs/redis.md.',
    retryable: true
  }
} as const satisfies Record<string, ErrorEntry>
