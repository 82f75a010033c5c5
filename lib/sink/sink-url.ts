/** The address of an HTTP sink, checked once. Pure. */
import { createError, reasonOf } from '../errors.ts'

export interface SinkUrl {
  /** Scheme, host and port. */
  readonly origin: string
  /** Path and query, exactly as they are sent. */
  readonly path: string
  /** For logs and for `knativeerrordest`: without the query, in which a key may stand. */
  readonly shown: string
}

/**
 * Takes a sink's URL apart. Credentials in it are refused, not sent: a URL ends up in logs and in dead letters.
 * @throws MBS_ERR_SINK_URL
 */
export function parseSinkUrl (text: string): SinkUrl {
  let url: URL
  try {
    url = new URL(text)
  } catch (error) {
    throw createError('MBS_ERR_SINK_URL', { url: text, reason: reasonOf(error) }, error)
  }
  const refused = (reason: string) => {
    url.username = url.password = url.search = url.hash = ''
    return createError('MBS_ERR_SINK_URL', { url: url.href, reason })
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw refused('it is neither http:// nor https://')
  if (url.username !== '' || url.password !== '') throw refused('it contains a user name or a password')
  if (url.hash !== '') throw refused('it has a fragment, which is never sent')
  return { origin: url.origin, path: url.pathname + url.search, shown: url.origin + url.pathname }
}
