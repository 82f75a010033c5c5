/**
 * CONNECT: who cannot have a session is told why, in the CONNACK that its protocol version understands, before Aedes
 * makes anything of it. Aedes' own way out of this hook closes without any answer.
 */
import { randomUUID } from 'node:crypto'
import { createError, type MbsError } from '../errors.ts'
import type { Identity } from '../message.ts'
import type { AedesHooks, ConnectPacket } from './aedes-types.ts'
import type { BrokerLimits, Permissions } from './contract.ts'
import type { Identities } from './identities.ts'
import { ownCopyOf } from './payload.ts'
import { hasForbiddenCharacters, topicProblem } from './topics.ts'

/** Longest client identifier, in characters; 64 KiB would be possible. It goes into every event of the client. */
const MAX_CLIENT_ID = 256
/** What MQTT 3.1 allows. */
const MAX_CLIENT_ID_31 = 23
/** "Unsupported protocol version" in the CONNACK of MQTT 5 [MQTT5-3.1.2-2]: no session, reason 0x84, no properties. */
const CONNACK_MQTT5 = Buffer.from([0x20, 3, 0, 0x84, 0])

export interface ConnectHookOptions {
  /** Told who each client is. */
  readonly identities: Identities
  readonly permissions: Permissions
  readonly limits: BrokerLimits
  /** False while publishes cannot be stored, or the broker is closing. */
  readonly canAccept: () => boolean
}

/** Makes the hook. */
export function createConnectHook (options: ConnectHookOptions): AedesHooks['preConnect'] {
  const { identities, permissions, limits, canAccept } = options
  return (client, packet, callback) => {
    const connection = client.conn
    const refuse = (problem: MbsError) => {
      const connack = connackOf(packet, problem)
      if (connack !== undefined) connection.refuse(connack)
      callback(problem, false)
    }
    const problem = connectProblem(packet, limits) ??
      (canAccept() ? undefined : createError('MBS_ERR_BROKER_UNAVAILABLE'))
    if (problem !== undefined) {
      refuse(problem)
      return
    }
    // Aedes would name such a client after itself.
    if (packet.clientId === '') packet.clientId = `auto-${randomUUID()}`
    const identity: Identity = { clientId: packet.clientId, method: 'anonymous' }
    const denial = willDenial(packet, identity, permissions)
    if (denial !== undefined) {
      refuse(denial)
      return
    }
    identities.set(client, identity)
    if (packet.will !== undefined) packet.will.payload = ownCopyOf(packet.will.payload as Buffer)
    // Aedes counts only packets that it gets to read, and it reads none while publishes wait.
    connection.setKeepAlive(packet.keepalive ?? 0)
    packet.keepalive = 0
    callback(null, true)
  }
}

/**
 * Why a client cannot have a session; undefined: it can. Pure.
 * MBS_ERR_BROKER_MQTT5, MBS_ERR_BROKER_CLIENT_ID, MBS_ERR_BROKER_WILL.
 */
export function connectProblem (packet: ConnectPacket, limits: BrokerLimits): MbsError | undefined {
  const { clientId, protocolVersion, clean, will } = packet
  if (protocolVersion === 5) return createError('MBS_ERR_BROKER_MQTT5')
  const reason = clientIdProblem(clientId, protocolVersion === 3, clean === true)
  if (reason !== undefined) return createError('MBS_ERR_BROKER_CLIENT_ID', { reason })
  if (will === undefined) return undefined
  const problem = (will.qos as number) > 2 ? 'its QoS is 3' : topicProblem(will.topic, limits)
  return problem === undefined ? undefined : createError('MBS_ERR_BROKER_WILL', { reason: problem })
}

/** Why a session cannot have its will, once it is known whose it is; undefined: it can. MBS_ERR_ACCESS_WILL. */
export function willDenial (packet: ConnectPacket, identity: Identity, permissions: Permissions): MbsError | undefined {
  const { will } = packet
  if (will === undefined || permissions.mayPublish(identity, will.topic)) return undefined
  return createError('MBS_ERR_ACCESS_WILL', { topic: JSON.stringify(will.topic) })
}

function clientIdProblem (clientId: string, isMqtt31: boolean, clean: boolean): string | undefined {
  if (clientId === '' && isMqtt31) return 'it is empty, which MQTT 3.1 does not allow'
  if (clientId === '' && !clean) return 'it is empty, and the session is to be kept [MQTT-3.1.3-8]'
  if (hasForbiddenCharacters(clientId)) return 'it has NUL or bytes that are not UTF-8'
  const max = isMqtt31 ? MAX_CLIENT_ID_31 : MAX_CLIENT_ID
  return clientId.length > max ? `it has ${clientId.length} characters of ${max} allowed` : undefined
}

/**
 * None for what passes by itself: MQTT.js, for one, never connects again after a CONNACK that refuses, "server
 * unavailable" among them. A connection that is closed makes every client come back.
 */
function connackOf (packet: ConnectPacket, problem: MbsError): Buffer | undefined {
  if (problem.connack === undefined) return undefined
  return packet.protocolVersion === 5 ? CONNACK_MQTT5 : Buffer.from([0x20, 2, 0, problem.connack])
}
