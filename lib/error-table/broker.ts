/** What goes wrong in a session: broker and access. */
import { EXIT_CONFIG, type ErrorEntry } from './entry.ts'

export const brokerErrors = {
  // ---- broker -----------------------------------------------------------------------------------------------------
  MBS_ERR_BROKER_MQTT5: {
    message: 'A client asked for MQTT 5, which this broker does not speak.',
    help: 'Configure the client for MQTT 3.1.1 (protocol version 4).',
    connack: 1
  },
  MBS_ERR_BROKER_CLIENT_ID: {
    message: 'The client identifier is not usable: {reason}.',
    help: 'Use a non-empty UTF-8 identifier without NUL; an empty one needs a clean session [MQTT-3.1.3-7].',
    connack: 2
  },
  MBS_ERR_BROKER_WILL: {
    message: 'The will is not usable: {reason}.',
    help: 'A will needs a topic without wildcards that does not begin with $, but for those of a preset [MQTT-3.3.2-2].',
    connack: 5
  },
  MBS_ERR_BROKER_TOPIC: {
    message: 'The topic is not usable: {reason}; the connection was closed.',
    help: 'Publish to a topic without wildcards and NUL that does not begin with $ (but for those of events.presets), of at most limits.topicBytes bytes and limits.topicLevels levels.'
  },
  MBS_ERR_BROKER_FILTER: {
    message: 'The topic filter is not allowed: {reason}.',
    help: 'Use # and + as whole levels, # last; $SYS and $share cannot be subscribed, $aws and $iothub as far as events.presets say.'
  },
  MBS_ERR_BROKER_PROTOCOL: {
    message: 'The client did what MQTT does not allow: {reason}; the connection was closed.',
    help: 'Check the client, or report it to its makers: the reason says which rule it broke.'
  },
  MBS_ERR_BROKER_UNAVAILABLE: {
    message: 'The broker cannot store publishes at the moment; the connection was closed.',
    help: 'The device tries again by itself; see the log and /readyz for why the outbox does not store.',
    retryable: true
  },

  // ---- sessions on disk --------------------------------------------------------------------------------------------
  MBS_ERR_SESSIONS_DIRECTORY: {
    message: 'The directory of sessions {directory} cannot be used: {reason}.',
    help: 'Set dataDir to a directory on a writable disk which this user may write, or broker.sessions to memory.'
  },
  MBS_ERR_SESSIONS_LOCKED: {
    message: 'The directory of sessions {directory} is in use by another process.',
    help: 'Stop the other process, or give each its own dataDir.'
  },
  MBS_ERR_SESSIONS_CORRUPT: {
    message: 'The sessions in {directory} are damaged and cannot be opened: {reason}.',
    help: 'Keep a copy of the directory, check the disk, then move the directory away to begin without sessions. Events are not concerned.'
  },
  MBS_ERR_SESSIONS_VERSION: {
    message: 'The sessions in {directory} were written by a later version of this program.',
    help: 'Use that version or a later one, or move the directory away to begin without sessions. Events are not concerned.'
  },
  MBS_ERR_SESSIONS_DAMAGED: {
    message: '{count} record(s) of sessions cannot be read: {reason}; the others are there.',
    help: 'Check the disk and its file system. Devices subscribe again when they find no session; retained messages come with the next publish.'
  },
  MBS_ERR_SESSIONS_WRITE: {
    message: 'Sessions cannot be written to {directory}: {reason}; what would have to be kept on disk is refused until they can.',
    help: 'Free space on the disk or make it writable again; the program tries again by itself. Publishes that no persistent session waits for go on.',
    retryable: true
  },
  MBS_ERR_SESSIONS_REPLACED: {
    message: 'Another database is in the place of the sessions that were opened, {directory}: sessions are not written to it, since it lacks what was there before.',
    help: 'Put the directory back that was there, and the program goes on by itself; restarted, it goes on with the sessions that are in the one that is there now.',
    retryable: true
  },

  // ---- access ------------------------------------------------------------------------------------------------------
  MBS_ERR_ACCESS_KEYS: {
    message: 'The keys that tokens are checked with cannot be taken from {source}: {reason}.',
    help: 'Give a JWK Set (JSON) or its URL in access.jwt.jwks, or a PEM file in access.jwt.publicKey, with keys for access.jwt.algorithms. What was in force stays so: keys of a file until it is right, keys of a URL for access.jwt.maxAge.',
    exitCode: EXIT_CONFIG
  },
  MBS_ERR_ACCESS_HOOK: {
    message: 'The authentication hook {url} cannot be asked: {reason}.',
    help: 'Check access.http, and that the service answers 200 with JSON, 204, 401 or 403 within access.http.timeout (docs/tokens.md). Nobody is let in by it meanwhile.',
    retryable: true
  },
  MBS_ERR_ACCESS_URL: {
    message: 'The URL {url} cannot be asked about devices: {reason}.',
    help: 'Give an absolute URL without user, password and fragment; access.jwt.jwks is https://, or http:// on loopback.',
    exitCode: EXIT_CONFIG
  },
  MBS_ERR_ACCESS_CREDENTIALS: {
    message: 'The credentials are refused: {reason}.',
    help: 'Correct what the device shows, or change it here: `mqtt-broker-source passwd USER` sets a password. The field `reason` of the log says more.',
    connack: 4
  },
  MBS_ERR_ACCESS_DENIED: {
    message: 'The device is not let in: {reason}.',
    help: 'Give the device credentials of a kind that `access` names: user name and password, or a client certificate.',
    connack: 5
  },
  MBS_ERR_ACCESS_CLIENT_ID: {
    message: 'The client identifier is not one that this user may take.',
    help: 'Give the device the client identifier that `access.clientId`, or `clientId` of this user in the user file, asks for.',
    connack: 5
  },
  MBS_ERR_ACCESS_ATTEMPTS: {
    message: 'Wrong credentials came too often from this address or for this user; nothing is looked at for a while.',
    help: 'Correct the devices that show wrong credentials; access.attempts says how many may fail. The device tries again by itself.',
    retryable: true
  },
  MBS_ERR_ACCESS_UNAVAILABLE: {
    message: 'It cannot be told at the moment who this is: {reason}; the connection was closed.',
    help: 'The device tries again by itself. Where it lasts, look in the log for what keeps credentials from being checked.',
    retryable: true
  },
  MBS_ERR_ACCESS_EXPIRED: {
    message: 'The credentials of the session have expired; the connection was closed.',
    help: 'The device has to connect again with new credentials, such as a token that is valid longer.'
  },
  MBS_ERR_ACCESS_USERS: {
    message: 'The user file {file} cannot be used: {reason}.',
    help: 'Correct what is named; `mqtt-broker-source passwd --file FILE USER` makes entries. A running program goes on with the last good file.',
    exitCode: EXIT_CONFIG
  },
  MBS_ERR_ACCESS_PERMISSIONS: {
    message: 'The permissions file {file} cannot be used: {reason}.',
    help: 'Correct what is named; the file has `permissions:` with a list like that of access.permissions (docs/permissions.md). While the program runs, the permissions that it had stay in force.',
    exitCode: EXIT_CONFIG
  },
  MBS_ERR_ACCESS_PUBLISH: {
    message: 'The client may not publish to the topic {topic}.',
    help: 'Correct the client, or allow the topic in access.permissions: `mqtt-broker-source check --as USER --topic TOPIC` says which rule decides. access.deniedPublish says what becomes of such a publish.'
  },
  MBS_ERR_ACCESS_SUBSCRIBE: {
    message: 'The client may not subscribe to the topic filter {filter}.',
    help: 'Everything that a filter matches has to be allowed in access.permissions, and nothing of it denied: `mqtt-broker-source check --as USER --topic FILTER --subscribe` says which rule decides.'
  },
  MBS_ERR_ACCESS_WILL: {
    message: 'The client may not publish its will to the topic {topic}.',
    help: 'Correct the will of the client, or allow its topic under `publish` in access.permissions.',
    connack: 5
  }
} as const satisfies Record<string, ErrorEntry>
