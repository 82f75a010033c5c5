/**
 * One HTTP request to a service that this program asks (who a device is, for keys, for tokens): bounded in time, from
 * the request to the last byte of the answer, and in the bytes of the answer; no redirect is followed. Never throws,
 * and never repeats a header or a body in its reasons.
 */
import { reasonOf } from './errors.ts'

export interface BoundedRequest {
  readonly method: 'GET' | 'POST'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
}

export interface FetchBounds {
  readonly timeoutMs: number
  /** Most bytes of the answer's body. */
  readonly maxBytes: number
}

/** Why there was no answer; a label of a metric, so the list is closed. */
export type FetchFailure = 'timeout' | 'network' | 'too-large' | 'aborted'

export type FetchOutcome =
  | { readonly kind: 'answer', readonly status: number, readonly body: Buffer }
  | { readonly kind: 'failed', readonly why: FetchFailure, readonly reason: string }

/** Asks once. Settles at the latest when the time is up or the signal is aborted. */
export async function fetchBounded (
  url: string, request: BoundedRequest, bounds: FetchBounds, signal?: AbortSignal
): Promise<FetchOutcome> {
  if (signal?.aborted === true) return { kind: 'failed', why: 'aborted', reason: 'it was not waited for' }
  const controller = new AbortController()
  let stopped: FetchFailure | undefined
  const stop = (why: FetchFailure) => {
    stopped ??= why
    controller.abort()
  }
  const timer = setTimeout(stop, bounds.timeoutMs, 'timeout')
  const onAbort = () => { stop('aborted') }
  signal?.addEventListener('abort', onAbort, { once: true })
  try {
    const { headers = {}, ...rest } = request
    const response = await fetch(url, {
      ...rest,
      headers: { ...headers, 'accept-encoding': 'identity' },
      redirect: 'manual',
      signal: controller.signal
    })
    const chunks: Uint8Array[] = []
    let bytes = 0
    for await (const chunk of response.body ?? []) {
      bytes += (chunk as Uint8Array).byteLength
      if (bytes > bounds.maxBytes) {
        stop('too-large')
        break
      }
      chunks.push(chunk as Uint8Array)
    }
    if (stopped === undefined) return { kind: 'answer', status: response.status, body: Buffer.concat(chunks) }
    return failed(stopped, bounds, undefined)
  } catch (error) {
    return failed(stopped ?? 'network', bounds, error)
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', onAbort)
  }
}

function failed (why: FetchFailure, { timeoutMs, maxBytes }: FetchBounds, error: unknown): FetchOutcome {
  const reasons: Record<FetchFailure, () => string> = {
    timeout: () => `no answer within ${timeoutMs} ms`,
    network: () => networkReason(error),
    'too-large': () => `the answer is larger than ${maxBytes} bytes`,
    aborted: () => 'it was not waited for'
  }
  return { kind: 'failed', why, reason: reasons[why]() }
}

/** `fetch failed` says nothing; what happened is its cause. */
function networkReason (error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error
  if (cause instanceof AggregateError && cause.errors.length > 0) return cause.errors.map(reasonOf).join('; ')
  return reasonOf(cause)
}
