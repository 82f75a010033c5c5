/** What an entry of the table of errors is. The entries stand beside this file, by where they happen. */

export interface ErrorEntry {
  /** What happened, in one sentence. `{name}` is filled in from the details. */
  readonly message: string
  /** What the reader can do about it. */
  readonly help: string
  /** True where the same call may succeed later without anything being changed. */
  readonly retryable?: boolean
  /** The CONNACK return code that a device sees [MQTT-3.2.2.3]. */
  readonly connack?: 1 | 2 | 3 | 4 | 5
  /** The exit code of the program where the error ends it; 1 unless given. */
  readonly exitCode?: number
}

/** Exit code of a configuration that cannot be used (EX_CONFIG of sysexits.h). */
export const EXIT_CONFIG = 78
