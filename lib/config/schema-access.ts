/** The settings of access: who may connect, and what sessions may do. A part of schema.ts. */
import { hookSection, jwtSection } from './schema-tokens.ts'
import { duration, oneOf, optionalSection, section, text, wholeNumber } from './setting.ts'
import { Type } from './type.ts'

const TOPIC_PATTERN = 'a topic filter, beginning with $ only as $aws/ or $iothub/ (docs/presets.md); {clientid}, {username}, {cert.cn}, {claim.NAME} stand for what the session has'

/** A level of a topic pattern: one wildcard, or text with placeholders in it. */
const PATTERN_LEVEL = '(?:\\+|(?:[^+#/{}\\u0000]|\\{(?:clientid|username|cert\\.cn|claim\\.[^{}\\u0000]+)\\})*)'

const topicPatterns = (description: string) => Type.Array(
  Type.String({
    minLength: 1,
    maxLength: 1024,
    pattern: `^(?!\\$(?!aws/|iothub/))(?:${PATTERN_LEVEL}/)*(?:${PATTERN_LEVEL}|#)$`,
    allowed: TOPIC_PATTERN
  }),
  { description, default: [], allowed: `a list, each ${TOPIC_PATTERN}` }
)

const permission = Type.Object({
  who: Type.Unsafe<string | string[]>({
    type: ['string', 'array'],
    minLength: 1,
    minItems: 1,
    items: { type: 'string', minLength: 1, allowed: 'a name' },
    description: 'Whose permission it is: `*` for every session, `anonymous` for those without credentials, else a user, or a list of these.',
    example: '*',
    allowed: '`*`, `anonymous`, a name, or a list of them'
  }),
  claims: Type.Unsafe<Record<string, string>>({
    type: 'object',
    description: 'Claims that the token has to have as well: the value itself, or a list with it in it.',
    default: {},
    allowed: 'texts by the name of their claim',
    additionalProperties: { type: 'string', minLength: 1, allowed: 'a non-empty text' }
  }),
  publish: topicPatterns('Topics that may be published to, also by a will.'),
  subscribe: topicPatterns('Topics that may be received. A filter is granted if one of these holds all that it matches.'),
  deny: section('What is not allowed, whatever any other rule says.', {
    publish: topicPatterns('Topics that may not be published to.'),
    subscribe: topicPatterns('Topics that may not be received. A filter that matches any of them is refused.')
  })
}, { additionalProperties: false, description: 'One permission.' })

export const accessSection = section('Who may connect, and what they may do: docs/security.md, docs/permissions.md.', {
  users: Type.Optional(text({
    description: 'The user file, with hashed passwords; the command `passwd` makes and changes it.', allowed: 'a path', example: 'users.yaml'
  })),
  certificates: optionalSection('Makes a client certificate say who its device is. It is asked for by `tls.clientCertificate` of a listener, and comes before user name and password.', {
    identity: oneOf(['cn', 'san', 'fingerprint'], {
      description: 'The name of the device: `cn` the common name, `san` a subject alternative name, `fingerprint` the SHA-256 of the certificate in hex.',
      default: 'cn'
    }),
    san: Type.Optional(oneOf(['URI', 'DNS', 'email'], {
      description: 'The type of the subject alternative name; the first one of it counts. Needed where `identity` is `san`.', example: 'URI'
    }))
  }),
  clientId: Type.Optional(text({
    description: 'The client identifiers that a user may take: `{username}` stands for its name, `*` at the end for anything. `clientId` of a user in the user file goes before. Without either, any.',
    maxLength: 1024,
    allowed: 'a text with `{username}`, and `*` at its end only',
    example: '{username}'
  })),
  attempts: section('How often credentials may be wrong. Beyond it, connections are closed unlooked at for a while.', {
    perUser: wholeNumber({
      description: 'Failures of one user without consequence. One is forgiven every 30 s.', default: 10, minimum: 1, maximum: 100_000
    }),
    perAddress: wholeNumber({
      description: 'The same for one address; of IPv6, the first 64 bits count. Users that got in from there before are judged by themselves.',
      default: 50,
      minimum: 1,
      maximum: 1_000_000
    }),
    backoff: duration({
      description: 'The first wait; doubled with each further failure.', default: 'PT1S', minimumMs: 10, maximumMs: 3_600_000
    }),
    backoffMax: duration({ description: 'Longest wait.', default: 'PT1M', minimumMs: 10, maximumMs: 86_400_000 })
  }),
  jwt: jwtSection,
  http: hookSection,
  permissions: Type.Optional(Type.Array(permission, {
    description: 'Who may publish and subscribe what. Once it is given, nothing is allowed but what stands here; without it everything is.',
    maxItems: 100_000,
    example: [{ who: '*', publish: ['devices/{clientid}/#'], subscribe: ['commands/{clientid}/#'] }],
    allowed: 'a list of permissions'
  })),
  permissionsFile: Type.Optional(text({
    description: 'YAML file with `permissions:` and such a list, in the place of `permissions`. It can be read again while the program runs.',
    allowed: 'a path',
    example: 'permissions.yaml'
  })),
  deniedPublish: oneOf(['close', 'drop'], {
    description: 'What becomes of a publish that is not permitted, which MQTT 3.1.1 has no answer for. `close`: its connection is closed; `drop`: it is acknowledged, counted, and goes nowhere.',
    default: 'close'
  })
})
