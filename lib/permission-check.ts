/** What a session would be allowed, and by which rule: for people who write permissions. Opens nothing. */
import { createPermissions, type Action } from './access/permissions.ts'
import { filterProblem, topicProblem } from './broker/topics.ts'
import { readPermissions } from './config/permissions-file.ts'
import type { Config } from './config/schema.ts'
import { reservedTopics } from './mapping/event-rules.ts'
import type { Identity } from './message.ts'

export interface PermissionQuestion {
  /** The name of a user; `anonymous`: a session without credentials. */
  readonly user: string
  /** The client identifier; the name of the user unless given. */
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
 * @throws MBS_ERR_ACCESS_PERMISSIONS
 */
export function checkPermission (config: Config, question: PermissionQuestion): PermissionAnswer {
  const { action, topic } = question
  const limits = { ...config.limits, reserved: reservedTopics(config.events.presets) }
  const problem = action === 'publish' ? topicProblem(topic, limits) : filterProblem(topic, limits)
  if (problem !== undefined) return { allowed: false, reason: problem }
  const permissions = readPermissions(config)
  if (permissions === undefined) return { allowed: true, reason: 'access.permissions is not set, so that everything is allowed' }

  const verdict = createPermissions(permissions).explain(identityOf(question), action, topic)
  if (verdict.place === undefined) return { allowed: false, reason: 'no rule of access.permissions allows it' }
  const verb = verdict.allowed ? 'allows' : 'denies'
  return { allowed: verdict.allowed, reason: `access.permissions${verdict.place} ${verb} it: "${verdict.pattern}"` }
}

function identityOf ({ user, clientId, commonName, claims }: PermissionQuestion): Identity {
  const certificate = commonName === undefined ? {} : { certificate: { cn: commonName, sans: [], fingerprint: '' } }
  if (user === 'anonymous') return { clientId: clientId ?? '', method: 'anonymous', ...certificate }
  return {
    clientId: clientId ?? user, method: 'password', username: user, ...certificate, ...(claims === undefined ? {} : { claims })
  }
}
