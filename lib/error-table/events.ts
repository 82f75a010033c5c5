/** What goes wrong between a publish and its acknowledgement: ingest, mapping, outbox. */
import { EXIT_CONFIG, type ErrorEntry } from './entry.ts'

export const eventErrors = {
  // ---- ingest -----------------------------------------------------------------------------------------------------
  MBS_ERR_INGEST_TIMEOUT: {
    message: 'The outbox did not store the publish within limits.publishTimeout ({timeoutMs} ms); it was not acknowledged.',
    help: 'The device sends it again on reconnect. Check the disk for load or faults (iostat, dmesg).',
    retryable: true
  },
  MBS_ERR_INGEST_UNDELIVERED: {
    message: 'The sinks have not taken an event whose rule says ack: delivered: {reason}; the publish was not acknowledged.',
    help: 'The device sends it again on reconnect, and waits for the same event. See the log for the sink that is down; `ack: stored` does not wait for sinks.',
    retryable: true
  },
  MBS_ERR_MAPPING_RULE: {
    message: 'The rule events.rules[{index}] cannot be used: {reason}.',
    help: 'Correct it; `mqtt-broker-source check` says all that is wrong with the rules, and docs/mapping.md what they can be.',
    exitCode: EXIT_CONFIG
  },
  MBS_ERR_MAPPING_SOURCE: {
    message: 'The template events.lifecycle.source cannot be used: {reason}.',
    help: 'Correct it; docs/lifecycle.md says which placeholders there are.',
    exitCode: EXIT_CONFIG
  },
  MBS_ERR_INGEST_LIFECYCLE: {
    message: 'More than {maxBytes} bytes of life-cycle events wait for the outbox; this one was left out.',
    help: 'Nothing else is concerned: devices go on and publishes are stored in their turn. See the log and /readyz for why the outbox does not store, and ask for fewer in events.lifecycle.events.'
  },
  MBS_ERR_MAPPING_SCHEMA: {
    message: 'The JSON Schema {file} cannot be used: {reason}.',
    help: 'Give a file with one JSON Schema (draft-07 or 2020-12) that refers to nothing outside of it; docs/mapping.md says what it can be.',
    exitCode: EXIT_CONFIG
  },
  MBS_ERR_MAPPING_REFUSED: {
    message: 'The rule events.rules[{index}] refuses the publish: {reason}; it was not acknowledged.',
    help: 'Correct what the device sends: it will send the same again until it fits. `otherwise: deadLetter` in the rule stores such publishes as dead letters instead.'
  },
  MBS_ERR_MAPPING_TRANSFORMER: {
    message: 'Transforms cannot be evaluated at present: {reason}; the publish was not acknowledged.',
    help: 'They run in a process of their own: check that this user may start processes, and that there is memory for one more. The device sends the message again on reconnect.',
    retryable: true
  },
  MBS_ERR_MAPPING_TIMEOUT: {
    message: 'The event of the publish was not made within limits.publishTimeout ({timeoutMs} ms): its transform, or that of an earlier publish of the same device, waited for those of other devices; it was not acknowledged.',
    help: 'The device sends it again on reconnect. The disk is not at fault: see in the log, and by dead letters with the reason `transform`, whose transforms take long; make their expression cheaper, or lower events.transformTimeout.',
    retryable: true
  },
  MBS_ERR_INGEST_MAPPING: {
    message: 'The publish could not be made a CloudEvent: {reason}; it was not acknowledged.',
    help: 'This is a defect of the program: please report it with the topic and the configuration.'
  },
  MBS_ERR_INGEST_APPEND: {
    message: 'The outbox failed in a way that was not foreseen: {reason}; the publish was not acknowledged.',
    help: 'This is a defect of the program: please report it with the log. The device sends the message again on reconnect.',
    retryable: true
  },
  MBS_ERR_INGEST_CLOSING: {
    message: 'The program is shutting down; the publish was not acknowledged.',
    help: 'The device sends it again when it has reconnected.',
    retryable: true
  },

  // ---- outbox -----------------------------------------------------------------------------------------------------
  MBS_ERR_OUTBOX_DIRECTORY: {
    message: 'The outbox directory {directory} cannot be used: {reason}.',
    help: 'Set dataDir to a directory on a writable disk which this user may write.'
  },
  MBS_ERR_OUTBOX_LOCKED: {
    message: 'The outbox directory {directory} is in use by another process.',
    help: 'Stop the other process, or give each its own dataDir.'
  },
  MBS_ERR_OUTBOX_CORRUPT: {
    message: 'The outbox in {directory} is damaged and cannot be opened: {reason}.',
    help: 'Keep a copy of the directory, check the disk, then move the directory away to begin with an empty outbox.'
  },
  MBS_ERR_OUTBOX_DAMAGED: {
    message: '{count} stored event(s) cannot be read any more: {reason}; the others are kept and delivered.',
    help: 'Check the disk and its file system. What was lost are the sequence numbers named in the log.'
  },
  MBS_ERR_OUTBOX_WRITE: {
    message: 'The outbox could not write to {directory}: {reason}; nothing is acknowledged until it can.',
    help: 'Free space on the disk or make it writable again; the program tries again by itself.',
    retryable: true
  },
  MBS_ERR_OUTBOX_FULL: {
    message: 'The outbox holds outbox.maxBytes ({maxBytes} bytes) of undelivered events; the publish was not acknowledged.',
    help: 'Bring the sink back, raise outbox.maxBytes, or remove dead letters. The device sends it again on reconnect.',
    retryable: true
  },
  MBS_ERR_OUTBOX_TOO_LARGE: {
    message: 'The event of {bytes} bytes is larger than the whole outbox may be (outbox.maxBytes, {maxBytes}).',
    help: 'Raise outbox.maxBytes well above limits.packetBytes.'
  },
  MBS_ERR_OUTBOX_DEAD_LETTERS: {
    message: 'The event is one to set aside, and dead letters fill {bytes} bytes, a quarter of the outbox; the publish was not acknowledged.',
    help: 'See with outbox dead-letters what is wrong with these events, mend their rule or their device, then requeue or discard them.'
  },
  MBS_ERR_OUTBOX_EVENT: {
    message: 'The event cannot be written to the outbox: {reason}; the publish was not acknowledged.',
    help: 'This is a defect of the program: please report it with the topic and the configuration.'
  },
  MBS_ERR_OUTBOX_CLOSED: {
    message: 'The outbox is closed.',
    help: 'The program is shutting down; the device sends its message again when it has reconnected.',
    retryable: true
  }
} as const satisfies Record<string, ErrorEntry>
