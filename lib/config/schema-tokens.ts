/** The part of the schema that is about those whom the broker asks who a device is: `access.jwt`, `access.http`. */
import { duration, oneOf, optionalSection, text, wholeNumber } from './setting.ts'
import { Type } from './type.ts'

/** What a token may be signed with: algorithms of key pairs only, so that who can check tokens cannot make any. */
const ALGORITHMS = [
  'RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'
] as const

type Algorithm = (typeof ALGORITHMS)[number]

export const ACCESS_URL = 'an https:// URL without user and password; http:// on loopback'

export const jwtSection = optionalSection('JSON Web Tokens as password. One of `jwks` and `publicKey` has to be given.', {
  jwks: Type.Optional(text({
    description: 'JWK Set with the public keys of the issuer: a file, or a URL that is asked when a key is needed.',
    allowed: `a path, or ${ACCESS_URL}`,
    example: 'https://issuer.example/keys.json'
  })),
  publicKey: Type.Optional(text({
    description: 'PEM file with the public key of the issuer, or a certificate with it.', allowed: 'a path', example: 'issuer.pem'
  })),
  issuer: Type.Optional(text({
    description: 'What the claim `iss` has to be. Without it, every issuer whose keys these are.',
    allowed: 'a non-empty text',
    example: 'https://issuer.example/'
  })),
  audience: text({
    description: 'What the claim `aud` has to be or to contain: tokens for other services are refused.', allowed: 'a non-empty text', example: 'mqtt'
  }),
  username: text({ description: 'The claim that names the user.', default: 'sub', allowed: 'the name of a claim', maxLength: 128 }),
  algorithms: Type.Unsafe<Algorithm[]>({
    type: 'array',
    description: 'Algorithms that are accepted, where the key is made for them.',
    default: ['RS256', 'PS256', 'ES256', 'EdDSA', 'Ed25519'],
    minItems: 1,
    uniqueItems: true,
    allowed: `a list of ${ALGORITHMS.join(', ')}`,
    items: { type: 'string', enum: [...ALGORITHMS] }
  }),
  expiry: oneOf(['required', 'optional'], {
    description: '`required`: a token without the claim `exp` is refused; `optional`: it is good for ever.', default: 'required'
  }),
  clockSkew: duration({
    description: 'How far the clocks of issuer and broker may be apart. A session ends so much after its token.',
    default: 'PT30S',
    minimumMs: 0,
    maximumMs: 600_000
  }),
  timeout: duration({
    description: 'Time for one request to the URL of `jwks`.', default: 'PT5S', minimumMs: 10, maximumMs: 60_000
  }),
  refresh: duration({
    description: 'Age at which the keys of the URL are asked for again: so long a key may still be good that was withdrawn.',
    default: 'PT10M',
    minimumMs: 1000,
    maximumMs: 86_400_000
  }),
  cooldown: duration({
    description: 'Shortest time between two requests to the URL, also when tokens with unknown keys arrive.',
    default: 'PT30S',
    minimumMs: 1000,
    maximumMs: 3_600_000
  }),
  maxAge: duration({
    description: 'How long keys stay in force while the URL does not answer.', default: 'P1D', minimumMs: 1000, maximumMs: 2_592_000_000
  })
})

export const hookSection = optionalSection('An HTTP service that says who a device is.', {
  url: text({
    description: 'Where the credentials are POSTed, as JSON.',
    allowed: 'an absolute http:// or https:// URL without user and password',
    example: 'https://devices.example/authenticate'
  }),
  tokenFile: Type.Optional(text({
    description: 'File with a bearer token that is sent along.', allowed: 'a path', example: 'hook-token.txt'
  })),
  timeout: duration({
    description: 'Time until the answer is there; then the device is not let in.', default: 'PT5S', minimumMs: 10, maximumMs: 60_000
  }),
  concurrency: wholeNumber({ description: 'Requests at a time.', default: 32, minimum: 1, maximum: 1024 }),
  cache: duration({
    description: 'How long an answer that lets in is good for the same credentials: so long a device may still come in that was taken out. PT0S asks every time.',
    default: 'PT1M',
    minimumMs: 0,
    maximumMs: 86_400_000
  }),
  cacheDenied: duration({
    description: 'The same for an answer that does not let in.', default: 'PT5S', minimumMs: 0, maximumMs: 3_600_000
  })
})
