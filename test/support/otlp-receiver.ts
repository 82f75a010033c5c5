/**
 * A receiver of OTLP over HTTP: a real server that keeps the spans which arrive. It reads protobuf by itself, field by
 * field as opentelemetry-proto has them, and has no code in common with what encodes them.
 */
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export type AttributeValue = string | boolean | number

/** A span as it arrived. */
export interface ReceivedSpan {
  readonly traceId: string
  readonly spanId: string
  readonly traceState: string
  /** Empty where it begins a trace. */
  readonly parentSpanId: string
  readonly name: string
  readonly kind: 'unspecified' | 'internal' | 'server' | 'client' | 'producer' | 'consumer'
  /** Milliseconds since the epoch. */
  readonly startMs: number
  readonly endMs: number
  readonly attributes: Readonly<Record<string, AttributeValue>>
  readonly links: ReadonlyArray<{ readonly traceId: string, readonly spanId: string }>
  readonly status: 'unset' | 'ok' | 'error'
  readonly statusMessage: string
  readonly resource: Readonly<Record<string, AttributeValue>>
}

export class OtlpReceiver {
  readonly spans: ReceivedSpan[] = []
  readonly requests: Array<{ readonly path: string, readonly headers: IncomingHttpHeaders }> = []
  /** What is done with a request; it is taken, unless set. */
  answer: (response: ServerResponse) => void = (response) => { response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end() }
  #server: Server | undefined
  #port = 0
  #waiting: Array<() => void> = []

  get port (): number {
    return this.#port
  }

  get origin (): string {
    return `http://127.0.0.1:${this.#port}`
  }

  get url (): string {
    return `${this.origin}/v1/traces`
  }

  /** Resolves as soon as what has arrived meets the condition. */
  async until (condition: (spans: readonly ReceivedSpan[]) => boolean): Promise<void> {
    while (!condition(this.spans)) await new Promise<void>((resolve) => { this.#waiting.push(resolve) })
  }

  /** Spans of one name that have arrived; waits for so many. */
  async named (name: string, count: number): Promise<ReceivedSpan[]> {
    const found = () => this.spans.filter((span) => span.name === name)
    await this.until(() => found().length >= count)
    return found()
  }

  /** Resolves when so many requests have arrived. */
  async asked (count: number): Promise<void> {
    await this.until(() => this.requests.length >= count)
  }

  async start (): Promise<void> {
    const server = createServer((request, response) => {
      const chunks: Buffer[] = []
      request.on('error', () => {})
      response.on('error', () => {})
      request.on('data', (chunk: Buffer) => { chunks.push(chunk) })
      request.on('end', () => {
        this.requests.push({ path: request.url ?? '', headers: request.headers })
        this.spans.push(...readSpans(Buffer.concat(chunks)))
        for (const wake of this.#waiting.splice(0)) wake()
        this.answer(response)
      })
    })
    await new Promise<void>((resolve) => { server.listen(this.#port, '127.0.0.1', resolve) })
    this.#port = (server.address() as AddressInfo).port
    this.#server = server
  }

  async stop (): Promise<void> {
    const server = this.#server
    this.#server = undefined
    await new Promise<void>((resolve) => {
      if (server === undefined) return resolve()
      server.close(() => { resolve() })
      server.closeAllConnections()
    })
  }
}

/** Starts a receiver that ends with the test. */
export async function startOtlpReceiver (t: { teardown (fn: () => Promise<void>): void }): Promise<OtlpReceiver> {
  const receiver = new OtlpReceiver()
  await receiver.start()
  t.teardown(() => receiver.stop())
  return receiver
}

/** The answer by which a receiver says that it has not taken some of them. */
export function partialSuccess (rejected: number): Buffer {
  return Buffer.from([0x0a, 0x02, 0x08, rejected])
}

// ---- protobuf -------------------------------------------------------------------------------------------------------

type Field = { readonly number: number, readonly value: bigint | Buffer }

/** The fields of a message, in order. Throws where it is none. */
function fieldsOf (message: Buffer): Field[] {
  const fields: Field[] = []
  let at = 0
  const varint = (): bigint => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at++]
      if (byte === undefined) throw new Error('the message ends within a number')
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
  }
  const take = (bytes: number): Buffer => {
    if (at + bytes > message.length) throw new Error('the message ends within a field')
    at += bytes
    return message.subarray(at - bytes, at)
  }
  while (at < message.length) {
    const key = varint()
    const number = Number(key >> 3n)
    switch (Number(key & 7n)) {
      case 0: fields.push({ number, value: varint() }); break
      case 1: fields.push({ number, value: take(8) }); break
      case 2: fields.push({ number, value: take(Number(varint())) }); break
      case 5: fields.push({ number, value: take(4) }); break
      default: throw new Error(`a wire type that is not known, of field ${number}`)
    }
  }
  return fields
}

const bytesIn = (fields: readonly Field[], number: number): Buffer[] =>
  fields.filter((field) => field.number === number).map(({ value }) => value as Buffer)
const textIn = (fields: readonly Field[], number: number): string => bytesIn(fields, number)[0]?.toString() ?? ''
const hexIn = (fields: readonly Field[], number: number): string => bytesIn(fields, number)[0]?.toString('hex') ?? ''
const numberIn = (fields: readonly Field[], number: number): number =>
  Number(fields.find((field) => field.number === number)?.value ?? 0)
const msIn = (fields: readonly Field[], number: number): number =>
  Number((bytesIn(fields, number)[0]?.readBigUInt64LE() ?? 0n) / 1000n) / 1000

const KINDS = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer'] as const
const STATUSES = ['unset', 'ok', 'error'] as const

function readSpans (request: Buffer): ReceivedSpan[] {
  return bytesIn(fieldsOf(request), 1).flatMap((resourceSpans) => {
    const fields = fieldsOf(resourceSpans)
    const resource = attributesIn(fieldsOf(bytesIn(fields, 1)[0] ?? Buffer.alloc(0)), 1)
    return bytesIn(fields, 2).flatMap((scope) => bytesIn(fieldsOf(scope), 2)).map((span) => readSpan(span, resource))
  })
}

function readSpan (message: Buffer, resource: ReceivedSpan['resource']): ReceivedSpan {
  const fields = fieldsOf(message)
  const status = fieldsOf(bytesIn(fields, 15)[0] ?? Buffer.alloc(0))
  return {
    traceId: hexIn(fields, 1),
    spanId: hexIn(fields, 2),
    traceState: textIn(fields, 3),
    parentSpanId: hexIn(fields, 4),
    name: textIn(fields, 5),
    kind: KINDS[numberIn(fields, 6)] ?? 'unspecified',
    startMs: msIn(fields, 7),
    endMs: msIn(fields, 8),
    attributes: attributesIn(fields, 9),
    links: bytesIn(fields, 13).map(fieldsOf).map((link) => ({ traceId: hexIn(link, 1), spanId: hexIn(link, 2) })),
    status: STATUSES[numberIn(status, 3)] ?? 'unset',
    statusMessage: textIn(status, 2),
    resource
  }
}

function attributesIn (fields: readonly Field[], number: number): Record<string, AttributeValue> {
  return Object.fromEntries(bytesIn(fields, number).map(fieldsOf).map((pair) => {
    const [field] = fieldsOf(bytesIn(pair, 2)[0] ?? Buffer.alloc(0))
    return [textIn(pair, 1), valueOf(field)]
  }))
}

function valueOf (field: Field | undefined): AttributeValue {
  if (field === undefined) return ''
  switch (field.number) {
    case 1: return (field.value as Buffer).toString()
    case 2: return field.value === 1n
    case 3: return Number(field.value)
    case 4: return (field.value as Buffer).readDoubleLE()
    default: throw new Error(`an attribute of a kind that is not known: ${field.number}`)
  }
}
