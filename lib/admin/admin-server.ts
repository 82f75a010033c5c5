/**
 * The HTTP server for probes and metrics. Nothing here writes, and nothing that arrives here can harm the rest: no
 * request has a body that is read, and connections, headers and times are bounded. First up and last down, so that
 * probes are answered throughout.
 */
import type { AddressInfo } from 'node:net'
import { fastify, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { createError, reasonOf } from '../errors.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { type Health, type HealthState, liveness, readiness, startup } from './health.ts'
import { answerBrokenRequest, problem } from './problem.ts'

export interface AdminServerOptions {
  readonly host: string
  /** 0 takes any that is free. */
  readonly port: number
  readonly telemetry: Telemetry
  readonly state: HealthState
}

/** What one client may use of the server. */
export interface HttpLimits {
  readonly maxConnections: number
  readonly maxHeaderBytes: number
  /** From the opening of a connection, or the first byte of a request, to its last byte. */
  readonly requestTimeoutMs: number
  /** How long a connection may stay open between two requests. */
  readonly keepAliveTimeoutMs: number
  /** How often the times are checked. */
  readonly checkIntervalMs: number
}

export interface AdminServer {
  /**
   * Listens. Idempotent.
   * @returns where, as `host:port`
   * @throws MBS_ERR_HTTP_BIND, or MBS_ERR_SOURCE_CLOSED once it has been closed
   */
  start (): Promise<string>
  /** Stops listening and ends every connection, whatever it is doing. Idempotent, bounded, never rejects. */
  close (): Promise<void>
}

/** Generous for probes and scrapes, which are small, quick and few. */
export const HTTP_LIMITS: HttpLimits = {
  maxConnections: 256,
  maxHeaderBytes: 8192,
  requestTimeoutMs: 5000,
  keepAliveTimeoutMs: 5000,
  checkIntervalMs: 1000
}

const ENDPOINTS: Readonly<Record<string, string>> = {
  '/': 'this list',
  '/livez': '200 while the program runs',
  '/readyz': '200 while publishes can be stored, else 503 and why',
  '/startupz': '200 once the program has started, else 503',
  '/metrics': 'metrics in the text format of Prometheus'
}

/** Makes the server. Nothing listens before `start`. */
export function createAdminServer (options: AdminServerOptions, limits: HttpLimits = HTTP_LIMITS): AdminServer {
  const server = createHttp(options, limits)
  let starting: Promise<string> | undefined
  let closing: Promise<void> | undefined

  return {
    start () {
      if (closing !== undefined) return Promise.reject(createError('MBS_ERR_SOURCE_CLOSED'))
      starting ??= listen(server, options)
      return starting
    },
    close () {
      closing ??= closeAfter(server, starting)
      return closing
    }
  }
}

function createHttp ({ telemetry, state }: AdminServerOptions, limits: HttpLimits): FastifyInstance {
  const server = fastify({
    logger: false,
    forceCloseConnections: true,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    requestTimeout: limits.requestTimeoutMs,
    http: { maxHeaderSize: limits.maxHeaderBytes, connectionsCheckingInterval: limits.checkIntervalMs },
    clientErrorHandler: answerBrokenRequest,
    frameworkErrors: (_error, _request, reply) => {
      const plain = reply as unknown as FastifyReply
      void plain.code(400).send(problem('The path of the request is not valid.'))
    }
  })
  server.server.maxConnections = limits.maxConnections

  // Before a body is read; this also runs for paths that do not exist.
  server.addHook('onRequest', async (request, reply) => {
    reply.header('cache-control', 'no-store')
    reply.header('x-content-type-options', 'nosniff')
    if (state.draining() || hasBody(request)) reply.header('connection', 'close')
    if (request.method !== 'GET' && request.method !== 'HEAD') return refuseMethod(request, reply)
  })
  server.setNotFoundHandler((_request, reply) => notFound(reply))
  server.setErrorHandler((error, request, reply) => {
    // The route, not the path of the request: what is rate-limited by it must not be for the client to choose.
    telemetry.unexpected(error, `HTTP ${request.routeOptions.url ?? 'request'}`)
    return reply.code(500).send(problem('The request failed; the log says why.'))
  })

  server.get('/', () => ({ name: 'mqtt-broker-source', endpoints: ENDPOINTS }))
  server.get('/livez', (_request, reply) => answer(reply, liveness()))
  server.get('/readyz', (_request, reply) => answer(reply, readiness(state)))
  server.get('/startupz', (_request, reply) => answer(reply, startup(state)))
  server.get('/metrics', async (_request, reply) => {
    const text = await telemetry.registry.metrics()
    return await reply.type(telemetry.registry.contentType).send(text)
  })
  return server
}

function answer (reply: FastifyReply, health: Health): FastifyReply {
  return reply.code(health.status === 'ok' ? 200 : 503).send(health)
}

function hasBody ({ headers }: FastifyRequest): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0'
}

function refuseMethod (request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const [path = ''] = request.url.split('?', 1)
  if (!Object.hasOwn(ENDPOINTS, path)) return notFound(reply)
  return reply.code(405).header('allow', 'GET, HEAD').send(problem('Only GET and HEAD are possible here.'))
}

function notFound (reply: FastifyReply): FastifyReply {
  return reply.code(404).send(problem('There is nothing at this path; GET / lists what there is.'))
}

async function listen (server: FastifyInstance, { host, port }: AdminServerOptions): Promise<string> {
  try {
    await server.listen({ host, port })
  } catch (error) {
    throw createError('MBS_ERR_HTTP_BIND', { address: join(host, port), reason: reasonOf(error) }, error)
  }
  const bound = server.server.address() as AddressInfo
  return join(bound.address, bound.port)
}

function join (host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** Whatever became of the start: the server it opened has to be closed, and the error it met has been told. */
async function closeAfter (server: FastifyInstance, starting: Promise<string> | undefined): Promise<void> {
  await starting?.catch(() => {})
  await server.close()
}
