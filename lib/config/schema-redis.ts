/** The settings of Redis. A part of schema.ts; the rules about them are in rules-redis.ts. */
import { duration, optionalSection, text, texts } from './setting.ts'
import { Type } from './type.ts'

export const REDIS_URL = 'a redis:// or rediss:// URL without user and password, with host, port and number of the database at most'

/** A node as `host:port`. */
export const REDIS_NODE = 'an address as host:port'

const username = Type.Optional(text({ description: 'The user of the ACL; without one, the default user.', maxLength: 1024, allowed: 'a non-empty text', example: 'mqtt' }))
const passwordFile = (whose: string) => Type.Optional(text({
  description: `File with the password${whose}. It is read at the start.`, allowed: 'a path', example: 'redis-password.txt'
}))

export const redisSection = optionalSection(
  'Redis 6.2 or later, which `outbox.store: redis` and `broker.sessions: redis` need: docs/redis.md. Exactly one of `url`, `sentinel` and `cluster` says where it is.', {
    url: Type.Optional(text({
      description: 'One server. rediss:// is TLS.', allowed: REDIS_URL, example: 'redis://localhost:6379/0'
    })),
    sentinel: optionalSection('A server that Sentinels watch, and whose replica takes over when it fails.', {
      master: text({ description: 'What the Sentinels call it.', allowed: 'a non-empty text', example: 'mymaster' }),
      nodes: texts({ description: 'The Sentinels; one that answers is enough.', minItems: 1, allowed: REDIS_NODE, example: ['sentinel-1:26379'] }),
      username,
      passwordFile: passwordFile(' of the Sentinels')
    }),
    cluster: optionalSection('A Redis Cluster.', {
      nodes: texts({ description: 'Some of its nodes; one that answers is enough.', minItems: 1, allowed: REDIS_NODE, example: ['redis-1:6379'] })
    }),
    username,
    passwordFile: passwordFile(''),
    tls: optionalSection('TLS to Redis, and to the Sentinels. With `rediss://` it may be left out.', {
      ca: Type.Optional(text({ description: 'PEM file with the CA certificates that are trusted instead of the usual ones.', allowed: 'a path', example: 'redis-ca.crt' })),
      cert: Type.Optional(text({ description: 'PEM file with the certificate that Redis is shown (mTLS).', allowed: 'a path', example: 'client.crt' })),
      key: Type.Optional(text({ description: 'PEM file with its private key, unencrypted.', allowed: 'a path', example: 'client.key' })),
      servername: Type.Optional(text({ description: 'The name that the certificate of Redis has to have, where it is not the host.', allowed: 'a host name', example: 'redis.example' }))
    }),
    keyPrefix: text({
      description: 'What all keys begin with. Programs with the same one are one group: they share sessions and outbox.',
      default: 'mbs:',
      pattern: '^[A-Za-z0-9._:/-]+$',
      maxLength: 64,
      allowed: 'up to 64 letters, digits and . _ : / -'
    }),
    timeout: duration({
      description: 'How long an answer may take. A server that is slower is taken for one that is away.', default: 'PT5S', minimumMs: 100, maximumMs: 60_000
    })
  }
)
