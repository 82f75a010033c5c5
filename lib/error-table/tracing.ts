/** What goes wrong with traces. */
import { EXIT_CONFIG, type ErrorEntry } from './entry.ts'

export const tracingErrors = {
  MBS_ERR_TRACING_HEADERS: {
    message: 'The headers of tracing cannot be used: {reason}.',
    help: 'Check the files that tracing.headers names (docs/tracing.md): one line of visible ASCII each, which this user may read.',
    exitCode: EXIT_CONFIG
  },
  MBS_ERR_TRACING_EXPORT: {
    message: 'Spans could not be sent to {url}: {reason}.',
    help: 'Check tracing.endpoint and tracing.headers, and that the receiver is up (docs/tracing.md). Nothing else is concerned: publishes and deliveries go on, without being traced where it lasts.',
    retryable: true
  }
} as const satisfies Record<string, ErrorEntry>
