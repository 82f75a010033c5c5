/**
 * The documented extensions of CloudEvents (cloudevents/extensions), and MQTT's own: which of them the mapper sets, and
 * what it lets pass of those that a device gives its own event. Chosen once, when the mapper is made: what is off costs
 * a publish nothing. `sequence` is given where events are stored (lib/outbox/sequences.ts).
 */
import { SDK_MEMBERS, toAttributeString } from '../cloudevent/attributes.ts'
import { parseTimestamp } from '../cloudevent/timestamp.ts'
import type { AuthMethod, ClientIdentity, ExtensionValue, Publish } from '../message.ts'
import { createTraceparents, isTraceparent, isTracestate } from './trace-context.ts'

/** Which extensions are set; one that is off is left to rules, overrides and devices. */
export interface ExtensionSwitches {
  readonly partitionkey: boolean
  readonly mqttqos: boolean
  readonly mqttretain: boolean
  readonly recordedtime: boolean
  readonly expirytime: boolean
  readonly traceparent: boolean
  /** False where `traceparent` is not begun here for an event that has none. */
  readonly beginTraces?: boolean
  readonly authtype: boolean
  readonly authid: boolean
}

/** As `events.extensions` has them unless something else is said; a test holds both together. */
export const DEFAULT_EXTENSIONS: ExtensionSwitches = Object.freeze({
  partitionkey: true,
  mqttqos: true,
  mqttretain: true,
  recordedtime: true,
  expirytime: true,
  traceparent: false,
  authtype: false,
  authid: false
})

type Extensions = Record<string, ExtensionValue>

/** The extensions of a publish without any rule; each call makes an object of its own. */
export type PublishExtensions = (publish: Publish) => Extensions

export function createPublishExtensions (on: ExtensionSwitches): PublishExtensions {
  const plain = on.partitionkey && on.mqttqos && on.mqttretain ? usual : createPlain(on)
  const begins = on.traceparent && on.beginTraces !== false
  if (!begins && !on.authtype && !on.authid) return plain
  const traceparent = createTraceparents()
  return (publish) => {
    const extensions = plain(publish)
    const { client } = publish
    if (on.authtype) extensions['authtype'] = authTypeOf(client)
    if (on.authid && client.username !== undefined) extensions['authid'] = toAttributeString(client.username)
    if (begins) extensions['traceparent'] = traceparent()
    return extensions
  }
}

/** Literals: an object that grows name by name costs more, and this is on the path of every publish. */
const usual: PublishExtensions = ({ client: { id }, qos, retain }) => {
  const partitionkey = toAttributeString(id)
  return retain ? { partitionkey, mqttqos: qos, mqttretain: true } : { partitionkey, mqttqos: qos }
}

function createPlain (on: ExtensionSwitches): PublishExtensions {
  return ({ client: { id }, qos, retain }) => {
    const extensions: Extensions = {}
    if (on.partitionkey) extensions['partitionkey'] = toAttributeString(id)
    if (on.mqttqos) extensions['mqttqos'] = qos
    if (on.mqttretain && retain) extensions['mqttretain'] = true
    return extensions
  }
}

/**
 * The kinds of principals [authcontext]. Users of the user file are registered in this infrastructure; certificates are
 * those of machines; tokens come from an identity provider; what a hook has looked at, the hook alone knows.
 */
const AUTH_TYPES: Readonly<Record<AuthMethod, string>> = {
  anonymous: 'unauthenticated',
  password: 'user',
  certificate: 'service_account',
  jwt: 'app_user',
  http: 'unknown'
}

function authTypeOf ({ method, username }: ClientIdentity): string {
  return AUTH_TYPES[method ?? (username === undefined ? 'anonymous' : 'http')]
}

/**
 * What goes on of the extensions that a device gave its own event. What says who the device is, and what orders its
 * events, never does; what does not hold against the table of its extension does not where the program would set it.
 * @param isRuled says whether the rule names an extension itself
 */
export function keepExtensions (
  given: Readonly<Extensions>, on: ExtensionSwitches, isRuled: (name: string) => boolean
): Extensions {
  const kept = { ...given }
  const drop = (...names: string[]): void => {
    for (const name of names) Reflect.deleteProperty(kept, name)
  }
  drop('partitionkey', ...SDK_MEMBERS)
  // Claims belong to who they are claims of.
  if (on.authtype || on.authid) drop('authclaims')
  if (on.authtype) drop('authtype')
  if (on.authid) drop('authid')
  if (on.recordedtime && parseTimestamp(kept['recordedtime']) === undefined) drop('recordedtime')
  if (on.expirytime && parseTimestamp(kept['expirytime']) === undefined) drop('expirytime')
  if (on.traceparent) {
    // A tracestate goes with its traceparent only [trace-context 3.3].
    if (isRuled('traceparent') || !isTraceparent(kept['traceparent'])) drop('traceparent', 'tracestate')
    else if (!isTracestate(kept['tracestate'])) drop('tracestate')
  }
  return kept
}
