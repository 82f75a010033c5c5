/** What goes wrong beyond the outbox: sinks, files that are read again, display, the HTTP server. */
import { EXIT_CONFIG, type ErrorEntry } from './entry.ts'

export const deliveryErrors = {
  // ---- sink ---------------------------------------------------------------------------------------------------------
  MBS_ERR_SINK_URL: {
    message: 'The sink URL {url} cannot be used: {reason}.',
    help: 'Give an absolute http:// or https:// URL in sink.url, K_SINK or --sink.',
    exitCode: EXIT_CONFIG
  },
  MBS_ERR_SINK_CA: {
    message: 'The CA certificates for the sink cannot be used: {reason}.',
    help: 'Give PEM certificates in sink.ca (a file) or K_CA_CERTS (the text).',
    exitCode: EXIT_CONFIG
  },
  MBS_ERR_SINK_TLS: {
    message: 'The client certificate for the sink cannot be used: {reason}.',
    help: 'Check that `tls.cert` and `tls.key` of the sink are PEM files which this user may read, and that key and certificate belong together.',
    exitCode: EXIT_CONFIG
  },
  MBS_ERR_SINK_CREDENTIALS: {
    message: 'The credentials for the sink cannot be used: {reason}.',
    help: 'Check the files that `headers` and `auth` of the sink name (docs/sinks.md): one line each, which this user may read.',
    exitCode: EXIT_CONFIG
  },
  MBS_ERR_SINK_TOKEN: {
    message: 'The token endpoint {url} gave no token: {reason}.',
    help: 'Check `auth.oauth2` of the sink, and that the service is up (docs/sinks.md). Events wait meanwhile; the program asks again by itself.',
    retryable: true
  },
  MBS_ERR_SINK_OVERRIDES: {
    message: 'K_CE_OVERRIDES cannot be used: {reason}.',
    help: 'Give JSON like {"extensions":{"name":"value"}}: names of a-z and 0-9, none a CloudEvents attribute, values texts.',
    exitCode: EXIT_CONFIG
  },

  // ---- files that are read again, display, admin --------------------------------------------------------------------
  MBS_ERR_RELOAD_FAILED: {
    message: 'The {what} could not be taken over: {reason}; what was in force before still is.',
    help: 'Correct the files, `mqtt-broker-source check` says what is wrong with them. They are read again when they change, and on SIGHUP.'
  },
  MBS_ERR_DISPLAY_EVENT: {
    message: 'The request is not a CloudEvent: {reason}.',
    help: 'POST a CloudEvent in binary, structured or batched content mode [CE-HTTP 3].'
  },
  MBS_ERR_HTTP_BIND: {
    message: 'The HTTP server cannot listen on {address}: {reason}.',
    help: 'Stop the program that uses it, or choose another one: http.port or MBS_HTTP_PORT; for `display`, its --port.'
  },
  MBS_ERR_CLOUDEVENT_ATTRIBUTE: {
    message: 'The CloudEvents attribute {name} is not valid: {reason}.',
    help: 'Names are 1 to 20 of a-z and 0-9; values are strings, booleans or 32-bit integers, without control characters.'
  },
  MBS_ERR_SOURCE_CLOSED: {
    message: 'The source has been closed and cannot be started again.',
    help: 'Make a new one with createSource().'
  }
} as const satisfies Record<string, ErrorEntry>
