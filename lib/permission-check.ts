/** What a session would be allowed, and by which rule: for people who write permissions. Opens nothing. */
import { readFileSync } from 'node:fs'
import { matchesClientId, parseClientIdPattern, type ClientIdPattern } from './access/client-id-pattern.ts'
import { createPermissions, type Action } from './access/permissions.ts'
import { filterProblem, topicProblem } from './broker/topics.ts'
import { readPermissions } from './config/permissions-file.ts'
import type { Config } from './config/schema.ts'
import { parseUsers, toUsersError } from './config/users-file.ts'
import { reservedTopics } from './mapping/event-rules.ts'
import type { Identity } from './message.ts'

export interface PermissionQuestion {
  /** The name of a user; `anonymous`: a session without credentials. */
  readonly user: string
  /** The client identifier. Unless given, the only one that the user may take, or else the name of the user. */
  readonly clientId?: string | undefined
  /** The common name of its certificate. */
  readonly commonName?: string | undefined
  readonly claims?: Readonly<Record<string, string>> | undefined
  readonly action: Action
  /** A topic, or a topic filter where the action is `subscribe`. */
  readonly topic: string
}

export interface PermissionAnswer {
  readonly allowed: boolean
  /** What decides, in words; names the setting where there is one. */
  readonly reason: string
}

/**
 * Whether a session may publish to a topic, or subscribe to a topic filter, with these settings.
 * @throws MBS_ERR_ACCESS_PERMISSIONS, MBS_ERR_ACCESS_USERS
 */
export function checkPermission (config: Config, question: PermissionQuestion): PermissionAnswer {
  const { action, topic } = question
  const limits = { ...config.limits, reserved: reservedTopics(config.events.presets) }
  const problem = action === 'publish' ? topicProblem(topic, limits) : filterProblem(topic, limits)
  if (problem !== undefined) return { allowed: false, reason: problem }
  const identity = identityOf(question)
  const bound = clientIdsOf(config, question)
  if (bound !== undefined) {
    const { user, clientId = bound.pattern.open ? user : bound.pattern.parts.join(user) } = question
    if (!matchesClientId(bound.pattern, clientId, user)) {
      return { allowed: false, reason: `${bound.place} does not let this user connect as ${JSON.stringify(clientId)}` }
    }
    identity.clientId = clientId
  }
  const permissions = readPermissions(config)
  if (permissions === undefined) return { allowed: true, reason: 'access.permissions is not set, so that everything is allowed' }

  const verdict = createPermissions(permissions).explain(identity, action, topic)
  if (verdict.place === undefined) return { allowed: false, reason: 'no rule of access.permissions allows it' }
  const verb = verdict.allowed ? 'allows' : 'denies'
  return { allowed: verdict.allowed, reason: `access.permissions${verdict.place} ${verb} it: "${verdict.pattern}"` }
}

/** Which client identifiers this user may take, and what says so; undefined: any. */
function clientIdsOf (
  { access }: Config, { user, claims }: PermissionQuestion
): { readonly pattern: ClientIdPattern, readonly place: string } | undefined {
  if (user === 'anonymous') return undefined
  // Whoever has claims has shown a token, and no password.
  const own = access.users === undefined || claims !== undefined ? undefined : ownClientIds(access.users, user)
  if (own !== undefined) return { pattern: own, place: `clientId of this user in ${access.users}` }
  const pattern = access.clientId === undefined ? undefined : parseClientIdPattern(access.clientId)
  if (pattern === undefined || typeof pattern === 'string') return undefined
  return { pattern, place: `access.clientId (${JSON.stringify(access.clientId)})` }
}

function ownClientIds (file: string, user: string): ClientIdPattern | undefined {
  try {
    return parseUsers(readFileSync(file, 'utf8'), file).find(({ name }) => name === user)?.clientId
  } catch (error) {
    throw toUsersError(file, error)
  }
}

function identityOf ({ user, clientId, commonName, claims }: PermissionQuestion): Writable<Identity> {
  const certificate = commonName === undefined ? {} : { certificate: { cn: commonName, sans: [], fingerprint: '' } }
  if (user === 'anonymous') return { clientId: clientId ?? '', method: 'anonymous', ...certificate }
  return {
    clientId: clientId ?? user, method: 'password', username: user, ...certificate, ...(claims === undefined ? {} : { claims })
  }
}

type Writable<T> = { -readonly [K in keyof T]: T[K] }
