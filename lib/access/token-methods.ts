/** The methods that ask others who a device is, as the configuration has them: tokens first, then the HTTP hook. */
import type { Config } from '../config/schema.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { createHttpMethod } from './http-hook.ts'
import { FileKeys, RemoteKeys, type KeySource } from './jwks.ts'
import { createJwtMethod } from './jwt.ts'
import type { ReloadableMethod } from './reloadable.ts'
import { parseJwks, parsePublicKey } from './token-keys.ts'

type AccessConfig = Config['access']
type JwtConfig = NonNullable<AccessConfig['jwt']>

/** In the order in which they are asked. Each has to be reloaded once before it answers. */
export function createTokenMethods ({ jwt, http }: AccessConfig, telemetry: Telemetry): readonly ReloadableMethod[] {
  const methods: ReloadableMethod[] = []
  if (jwt !== undefined) {
    methods.push(createJwtMethod({
      keys: createKeySource(jwt, telemetry),
      ...(jwt.issuer !== undefined && { issuer: jwt.issuer }),
      audience: jwt.audience,
      algorithms: jwt.algorithms,
      usernameClaim: jwt.username,
      expiryRequired: jwt.expiry === 'required',
      clockSkewMs: jwt.clockSkew,
      telemetry
    }))
  }
  if (http !== undefined) {
    methods.push(createHttpMethod({
      url: http.url,
      ...(http.tokenFile !== undefined && { tokenFile: http.tokenFile }),
      timeoutMs: http.timeout,
      concurrency: http.concurrency,
      cacheMs: http.cache,
      cacheDeniedMs: http.cacheDenied,
      telemetry
    }))
  }
  return methods
}

/** Exactly one source is configured; the rules of the configuration see to it. */
function createKeySource (jwt: JwtConfig, telemetry: Telemetry): KeySource {
  const { jwks, publicKey = '', algorithms } = jwt
  if (jwks === undefined) return new FileKeys(publicKey, (text) => parsePublicKey(text, algorithms), telemetry)
  if (!jwks.includes('://')) return new FileKeys(jwks, (text) => parseJwks(text, algorithms), telemetry)
  return new RemoteKeys({
    url: jwks,
    algorithms,
    timeoutMs: jwt.timeout,
    refreshMs: jwt.refresh,
    cooldownMs: jwt.cooldown,
    maxAgeMs: jwt.maxAge,
    telemetry
  })
}
