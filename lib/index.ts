/** The public API: what a program that embeds the source, and the command line, can import. */
export { hashPassword } from './access/password.ts'
export { checkConfig } from './config/check.ts'
export { formatConfig } from './config/effective.ts'
export type { Environment, Flags } from './config/environment.ts'
export { loadConfig, problemsOf, type ExaminedConfig, type LoadedConfig, type LoadOptions } from './config/load.ts'
export { formatProblems, type Problem } from './config/problem.ts'
export { configurationPage, defaultYaml, jsonSchema } from './config/reference.ts'
export type { Config, ListenerConfig } from './config/schema.ts'
export { parseDuration } from './config/units.ts'
export { deleteUser, setUser } from './config/users-edit.ts'
export {
  createError, errorTable, EXIT_CONFIG, isMbsError, reasonOf, type ErrorCode, type ErrorDetails, type MbsError
} from './errors.ts'
export {
  discardDeadLetters, readDeadLetters, readOutboxStatus, requeueDeadLetters, type LettersDone, type OutboxReport
} from './maintenance.ts'
export { previewEvent, type EventPreview, type PublishExample } from './map-preview.ts'
export type { DeadLetter, Event, StoredEvent } from './message.ts'
export { checkPermission, type PermissionAnswer, type PermissionQuestion } from './permission-check.ts'
export type { RequestPreview } from './request-preview.ts'
export { askHealth } from './selftest/health.ts'
export { selfTest, SELFTEST_TOPIC, type SelfTestOptions, type SelfTestStep } from './selftest/selftest.ts'
export { createDisplayReceiver } from './sink/display-receiver.ts'
export { createSource, type Addresses, type Source } from './source.ts'
export { listMetrics, type MetricDescription } from './telemetry/list-metrics.ts'
export { VERSION } from './version.ts'
