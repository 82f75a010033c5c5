/**
 * What each sink would be sent of an event, for `map`: the request with all its headers. Pure: nothing is read, so that
 * what comes from files, and is mostly secret, is named and not shown; so are headers with names of secrets.
 */
import { encode, encodeJson, type HttpMessage } from './cloudevent/encode.ts'
import type { Config } from './config/schema.ts'
import { eventFilter } from './mapping/event-filter.ts'
import type { Event } from './message.ts'
import { SINK_NAME, USER_AGENT } from './parts.ts'
import type { AuthSettings } from './sink/authorization.ts'
import { fitsBatch } from './sink/batch-sink.ts'
import { headerList } from './sink/request-headers.ts'
import { isSecretHeader } from './sink/secret-text.ts'
import { parseSinkUrl } from './sink/sink-url.ts'

type SinkSettings = Config['sink'] | Config['sinks'][number]

/** What one sink would be sent. */
export interface RequestPreview {
  /** The name of the sink; `default` is that of the section `sink`. */
  readonly sink: string
  /** Its URL without the query; absent where it is not known yet, or where events are displayed. */
  readonly destination?: string
  /** Absent: its filter does not let the event through. */
  readonly request?: HttpMessage
}

/** The requests of all sinks, the one of the section `sink` first. */
export function previewRequests (event: Event, { namespace, sink, sinks }: Config): RequestPreview[] {
  const program = { 'user-agent': USER_AGENT, ...(namespace !== undefined && { 'kn-namespace': namespace }) }
  const own = sink.kind === 'none' ? [] : [previewRequest(event, SINK_NAME, sink, program)]
  return [...own, ...sinks.map((settings) => previewRequest(event, settings.name, settings, program))]
}

function previewRequest (
  event: Event, sink: string, settings: SinkSettings, program: Readonly<Record<string, string>>
): RequestPreview {
  const { url, filter } = settings
  const destination = url === undefined ? {} : { destination: parseSinkUrl(url).shown }
  if (filter !== undefined && !eventFilter(filter)(event)) return { sink, ...destination }
  const { headers, body } = messageOf(event, settings)
  return { sink, ...destination, request: { headers: [...headers, ...headersOf(settings, program)], body } }
}

/** With batches, that of a batch of one. */
function messageOf (event: Event, { contentMode, batch }: SinkSettings): HttpMessage {
  const alone = contentMode === 'batch' && !fitsBatch(encodeJson(event), batch.bytes)
  return encode(event, alone ? 'auto' : contentMode)
}

function headersOf ({ headers, auth }: SinkSettings, program: Readonly<Record<string, string>>): string[] {
  const shown = Object.entries(headers).map(([name, value]) =>
    [name, typeof value === 'string' && isSecretHeader(name) ? '(not shown)' : value] as const)
  const list = headerList(program, Object.fromEntries(shown), (file) => `(from ${file})`)
  return auth === undefined ? list : [...list, 'authorization', describeAuthorization(auth)]
}

function describeAuthorization ({ bearer, basic, oauth2 }: AuthSettings): string {
  if (bearer !== undefined) return `Bearer (from ${bearer.file})`
  if (basic !== undefined) return `Basic (${basic.username}, password from ${basic.passwordFile})`
  return `Bearer (a token of ${parseSinkUrl(oauth2?.tokenUrl ?? '').shown})`
}
