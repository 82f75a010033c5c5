/** What goes wrong before anything runs: configuration and command line. */
import { EXIT_CONFIG, type ErrorEntry } from './entry.ts'

export const programErrors = {
  // ---- configuration ------------------------------------------------------------------------------------------
  MBS_ERR_CONFIG_FILE: {
    message: 'The configuration file {file} cannot be read: {reason}.',
    help: 'Check the path given with --config and that this user may read it.',
    exitCode: EXIT_CONFIG
  },
  MBS_ERR_CONFIG_SYNTAX: {
    message: 'The configuration file {file} is not valid YAML: {reason}.',
    help: 'Correct the line that is named; YAML indents with spaces, never with tabs.',
    exitCode: EXIT_CONFIG
  },
  MBS_ERR_CONFIG_INVALID: {
    message: 'The configuration has {count} mistake(s): {problems}',
    help: 'Correct each setting that is named; `mqtt-broker-source check --config FILE` lists them again, and docs/configuration.md says what is allowed.',
    exitCode: EXIT_CONFIG
  },
  MBS_ERR_CONFIG_ANONYMOUS: {
    message: 'The listener {listener} is reachable from other machines and would let anyone in.',
    help: 'Say in `access` how devices prove who they are (docs/security.md), bind it to 127.0.0.1 or ::1, or write `anonymous: true` at this very listener if everyone who reaches it may publish.',
    exitCode: EXIT_CONFIG
  },
  MBS_ERR_CLI_USAGE: {
    message: 'The command line is not understood: {reason}.',
    help: 'Run `mqtt-broker-source --help` for the commands and their options.',
    exitCode: EXIT_CONFIG
  }
} as const satisfies Record<string, ErrorEntry>
