/**
 * CONNECT: who cannot have a session is told why, in the CONNACK that its protocol version understands, before Aedes
 * makes anything of it. Aedes' own way out of this hook closes without any answer.
 *
 * Aedes guards this hook with nothing and has no time for it: it must not throw, and must call back once, also when the
 * connection has gone meanwhile. The gate lets nothing through until then, and closes what takes too long.
 */
import { randomUUID } from 'node:crypto'
import { createError, reasonOf, type MbsError } from '../errors.ts'
import type { Credentials, Identity } from '../message.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import type { AedesClient, AedesHooks, ConnectPacket } from './aedes-types.ts'
import type { Authenticate, Authentication, BrokerLimits, Connection, Permissions } from './contract.ts'
import type { Identities } from './identities.ts'
import { copyOf, ownCopyOf } from './payload.ts'
import { endAt } from './session-expiry.ts'
import { hasForbiddenCharacters, topicProblem } from './topics.ts'

/** Longest client identifier, in characters; 64 KiB would be possible. It goes into every event of the client. */
const MAX_CLIENT_ID = 256
/** What MQTT 3.1 allows. */
const MAX_CLIENT_ID_31 = 23
/** "Unsupported protocol version" in the CONNACK of MQTT 5 [MQTT5-3.1.2-2]: no session, reason 0x84, no properties. */
const CONNACK_MQTT5 = Buffer.from([0x20, 3, 0, 0x84, 0])

export interface ConnectHookOptions {
  readonly authenticate: Authenticate
  /** Told who each client is. */
  readonly identities: Identities
  readonly permissions: Permissions
  readonly limits: BrokerLimits
  /** False while publishes cannot be stored, or the broker is closing. */
  readonly canAccept: () => boolean
  /** Called before a client is refused whom telemetry has been told of. */
  readonly refused: (client: AedesClient) => void
  /** Called with each CONNECT that is accepted, as the client sent it. */
  readonly accepted?: ((client: AedesClient, packet: ConnectPacket) => void) | undefined
  readonly telemetry: Telemetry
}

/** Makes the hook. */
export function createConnectHook (options: ConnectHookOptions): AedesHooks['preConnect'] {
  const { authenticate, identities, permissions, limits, canAccept, refused, accepted, telemetry } = options
  return (client, packet, callback) => {
    const connection = client.conn
    const refuse = (problem: MbsError): void => {
      const connack = connackOf(packet, problem)
      if (connack !== undefined) connection.refuse(connack)
      callback(problem, false)
    }
    const unavailable = (): MbsError | undefined => canAccept() ? undefined : createError('MBS_ERR_BROKER_UNAVAILABLE')

    const problem = connectProblem(packet, limits) ?? unavailable()
    if (problem !== undefined) {
      refuse(problem)
      return
    }
    // Aedes would name such a client after itself.
    if (packet.clientId === '') packet.clientId = `auto-${randomUUID()}`
    const credentials = takeCredentials(packet, connection)
    if (packet.will !== undefined) packet.will.payload = ownCopyOf(packet.will.payload as Buffer)

    void whileOpen(connection, async (signal) => await authenticate(credentials, signal)).catch((error: unknown) => {
      telemetry.unexpected(error, 'authentication')
      return { kind: 'refused', error: createError('MBS_ERR_ACCESS_UNAVAILABLE', { reason: reasonOf(error) }, error) } as const
    }).then((outcome) => {
      if (outcome.kind === 'refused') {
        refused(client)
        refuse(outcome.error)
        return
      }
      const problem = unavailable() ?? willDenial(packet, outcome.identity, permissions)
      if (problem !== undefined || connection.destroyed) {
        refuse(problem ?? createError('MBS_ERR_BROKER_UNAVAILABLE'))
        return
      }
      identities.set(client, outcome.identity)
      if (outcome.identity.expiresAt !== undefined) endAt(connection, outcome.identity.expiresAt)
      accepted?.(client, packet)
      // Aedes counts only packets that it gets to read, and it reads none while publishes wait.
      connection.setKeepAlive(packet.keepalive ?? 0)
      packet.keepalive = 0
      callback(null, true)
    }).catch((error: unknown) => { telemetry.unexpected(error, 'the broker, after CONNECT') })
  }
}

/** What the device shows, and what its listener knows of it. The password is taken out of the packet, as a copy. */
function takeCredentials (packet: ConnectPacket, { facts, peer }: Connection): Credentials {
  const { clientId, username, password } = packet
  delete packet.password
  return {
    clientId,
    // mqtt-packet gives null for a user name that is absent.
    ...(typeof username === 'string' && { username }),
    ...(password != null && { password: copyOf(Buffer.from(password)) }),
    ...(peer.certificate !== undefined && { certificate: peer.certificate }),
    address: peer.ip,
    listener: facts.listener,
    secure: peer.secure,
    anonymous: peer.anonymous
  }
}

/** Does something as long as the connection is there; its signal says when it is not. */
async function whileOpen (
  connection: Connection, work: (signal: AbortSignal) => Promise<Authentication>
): Promise<Authentication> {
  const controller = new AbortController()
  const abort = (): void => { controller.abort() }
  connection.once('close', abort)
  try {
    return await work(controller.signal)
  } finally {
    connection.off('close', abort)
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
