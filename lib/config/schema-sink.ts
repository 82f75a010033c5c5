/**
 * The settings of an HTTP sink, wherever there is one: the section `sink`, and what a sink is told about who sends,
 * which the dead-letter sink has as well. A part of schema.ts; the rules about them are in rules-sinks.ts.
 */
import { duration, oneOf, optionalSection, section, size, text, texts, wholeNumber } from './setting.ts'
import { Type } from './type.ts'

export const SINK_URL = 'an absolute http:// or https:// URL without user and password'

/** A token [RFC 9110 5.6.2]. */
const HEADER_NAME = "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$"

/** A header's value: visible ASCII, with spaces inside. */
const HEADER_VALUE = '^[!-~](?:[ -~]*[!-~])?$'

/** Headers by name. @param allowed which, in words */
export const headersSetting = (
  description: string, allowed: string
) => Type.Unsafe<Record<string, string | { file: string }>>({
  type: 'object',
  description,
  default: {},
  allowed: `${allowed}; each value a text of visible ASCII, or a section with file`,
  secret: true,
  propertyNames: { pattern: HEADER_NAME },
  additionalProperties: {
    type: ['string', 'object'],
    secret: true,
    allowed: 'a text of visible ASCII, or a section with file',
    minLength: 1,
    maxLength: 8192,
    pattern: HEADER_VALUE,
    properties: { file: { type: 'string', minLength: 1, allowed: 'a path' } },
    required: ['file'],
    additionalProperties: false
  }
})

const headers = headersSetting(
  'Headers that are sent with every event, by name: a text, or `{ file: path }` for what is in a file, which is read again when it changes.',
  'names of headers that neither HTTP nor CloudEvents use themselves'
)

const auth = optionalSection('How the sink is told who sends: exactly one of `bearer`, `basic` and `oauth2`.', {
  bearer: optionalSection('A token that is in a file, such as a projected service account token.', {
    file: text({ description: 'File with the token.', allowed: 'a path', example: '/oidc/token' })
  }, { secret: true }),
  basic: optionalSection('User and password.', {
    username: text({
      description: 'The user.', pattern: '^[^:\\u0000-\\u001f\\u007f]+$', maxLength: 1024, allowed: 'a text without colon and control characters', example: 'gateway-1'
    }),
    passwordFile: text({ description: 'File with the password.', allowed: 'a path', example: 'sink-password.txt' })
  }, { secret: true }),
  oauth2: optionalSection('Tokens that a service gives for the credentials of this program: the client credentials grant of OAuth 2.0.', {
    tokenUrl: text({ description: 'The token endpoint.', allowed: SINK_URL, example: 'https://issuer.example/oauth2/token' }),
    clientId: text({
      description: 'The client identifier.', pattern: '^[ -~]+$', maxLength: 1024, allowed: 'a text of visible ASCII', example: 'gateway-1'
    }),
    clientSecretFile: text({ description: 'File with the client secret.', allowed: 'a path', example: 'client-secret.txt' }),
    scopes: Type.Optional(texts({
      description: 'The scopes that are asked for.', pattern: '^[!#-\\[\\]-~]+$', allowed: 'scopes of visible ASCII without quotes and backslashes', example: ['events.write']
    })),
    audience: Type.Optional(text({
      description: 'Whom the tokens are for; not all services know this parameter.', maxLength: 1024, allowed: 'a non-empty text', example: 'https://events.example/'
    }))
  }, { secret: true })
}, { secret: true })

const tls = optionalSection('The certificate that the sink is shown (mTLS).', {
  cert: text({ description: 'PEM file with the certificate that the sink is shown (mTLS), and its intermediates.', allowed: 'a path', example: 'client.crt' }),
  key: text({ description: 'PEM file with its private key, unencrypted.', allowed: 'a path', example: 'client.key' })
})

const ca = Type.Optional(text({
  description: 'PEM file with CA certificates that are trusted beside the usual ones.', allowed: 'a path', example: 'sink-ca.crt'
}))

/** What any target over HTTP can have beside its URL: whom it is trusted by, and what it is told about who sends. */
export const targetSettings = { ca, headers, auth, tls }

/**
 * What an HTTP sink can have.
 * @param knative whether Knative's variables set it: there is one sink that they mean
 */
export function sinkSettings ({ knative = false } = {}) {
  const variable = (name: string) => knative ? { knative: name } : {}
  return {
    kind: oneOf(['http', 'display'], {
      description: '`http`: CloudEvents over HTTP, which wait in the outbox as long as there is no `url`; `display`: printed on standard output.',
      computed: 'http as soon as `url` is known, else display',
      example: 'http'
    }),
    url: Type.Optional(text({
      description: 'Where to POST the events.', ...variable('K_SINK'), allowed: SINK_URL, example: 'http://localhost:8090/'
    })),
    contentMode: oneOf(['auto', 'binary', 'structured', 'batch'], {
      description: 'Content mode of CloudEvents over HTTP. `auto`: binary, and structured for an event whose attributes would have to be escaped in headers; `batch`: several events in a request, for a sink that is known to take them.',
      default: 'auto'
    }),
    batch: section('What goes into one request with `contentMode: batch`.', {
      count: wholeNumber({ description: 'Most events of a batch.', default: 100, minimum: 1, maximum: 10_000 }),
      bytes: size({
        description: 'Most bytes of a batch. An event that is larger alone is sent alone.', default: '1MiB', minimumBytes: 1024, maximumBytes: 256 * 1024 ** 2
      }),
      wait: duration({
        description: 'How long an event waits at most for others to go with it.', default: 'PT0.05S', minimumMs: 0, maximumMs: 10_000
      })
    }),
    timeout: duration({
      description: 'Time for one attempt, from the request to the end of the answer.', default: 'PT60S', ...variable('K_SINK_TIMEOUT'), minimumMs: 10, maximumMs: 3_600_000
    }),
    ...targetSettings,
    caText: Type.Optional(text({
      description: 'The same as `ca` as PEM text; both may be given.', ...variable('K_CA_CERTS'), allowed: 'PEM certificates', example: '-----BEGIN CERTIFICATE-----…'
    })),
    keepAlive: duration({
      description: 'How long an idle connection is kept. Below 10 s: Knative closes idle connections then.',
      default: 'PT8S',
      minimumMs: 0,
      maximumMs: 9000
    }),
    socketMaxAge: duration({
      description: 'Age at which a connection is replaced, so that new pods of the sink get their share.', default: 'PT2M', minimumMs: 1000, maximumMs: 86_400_000
    })
  }
}
