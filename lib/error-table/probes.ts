/** What goes wrong for who asks from outside whether a program works: the self-test and the health check. */
import type { ErrorEntry } from './entry.ts'

export const probeErrors = {
  // ---- self-test and health -----------------------------------------------------------------------------------------
  MBS_ERR_SELFTEST_CONNECT: {
    message: 'There is no connection to {url}: {reason}.',
    help: 'Check that the broker runs and that protocol, host, port and path of the URL are those of one of its listeners; for TLS, that --ca has the CA of its certificate, and the certificate the name of this host.'
  },
  MBS_ERR_SELFTEST_REFUSED: {
    message: 'The broker at {url} refuses the session: {reason}.',
    help: 'Give credentials that it accepts (--username and --password-file, or --cert and --key), and with --client-id a client identifier that this user may take (access.clientId).'
  },
  MBS_ERR_SELFTEST_SILENT: {
    message: 'No {packet} came from {url} within {timeoutMs} ms.',
    help: 'No CONNACK: check that the URL is that of an MQTT listener, and of one with TLS for mqtts and wss. No PUBACK: see /readyz and the log of the broker for what keeps it from storing; with `ack: delivered` it waits for the sink. --timeout gives it more time.'
  },
  MBS_ERR_SELFTEST_PROTOCOL: {
    message: 'What answers at {url} does not speak MQTT as it should: {reason}.',
    help: 'Check that protocol, host and port of the URL are those of a listener of the broker, and that mqtts or wss is written for one with TLS.'
  },
  MBS_ERR_SELFTEST_CLOSED: {
    message: 'The connection to {url} was closed {when}.',
    help: 'The log of the broker says why; typical are a limit (docs/limits.md), too many wrong credentials, and plain MQTT to a listener with TLS.'
  },
  MBS_ERR_SELFTEST_SUBSCRIBE: {
    message: 'The broker at {url} denies the subscription to {topic}.',
    help: 'Allow it to this user under `subscribe` in access.permissions, choose another --topic, or leave the subscription out with --publish-only; `mqtt-broker-source check --as USER --topic TOPIC --subscribe` says which rule decides.'
  },
  MBS_ERR_SELFTEST_PUBLISH: {
    message: 'The broker at {url} closed the connection and did not acknowledge the publish to {topic}.',
    help: 'Allow the topic to this user under `publish` in access.permissions, or choose another --topic: `mqtt-broker-source check --as USER --topic TOPIC` says which rule decides. Where that is not it, the log says what kept the event from being stored.'
  },
  MBS_ERR_SELFTEST_MESSAGE: {
    message: 'The publish to {topic} was acknowledged and did not come back within {timeoutMs} ms{others}.',
    help: 'Check that this user may publish the topic (with access.deniedPublish: drop, what is denied is acknowledged and goes nowhere), and that nothing between here and the broker changes messages.'
  },
  MBS_ERR_SELFTEST_EVENT: {
    message: 'The event was acknowledged and has not gone on to all sinks: {reason}.',
    help: 'Nothing is lost: an event waits in the outbox until its sink takes it, and `outbox dead-letters` shows what was set aside. /readyz says how the sinks are, and the log why they take nothing; --timeout gives them more time.'
  },
  MBS_ERR_HTTP_UNHEALTHY: {
    message: '{url} does not say that all is well: {reason}.',
    help: 'Check that the program runs and that host and port are those of its HTTP server (http.host and http.port, MBS_HTTP_HOST and MBS_HTTP_PORT). What it answers says why it is not well.'
  }
} as const satisfies Record<string, ErrorEntry>
