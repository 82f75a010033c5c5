/**
 * The part of the public API that loads at once: what the program needs before it knows which command it is to run, and
 * what the command `health` needs, which is run every few seconds. Nothing of the broker stands here, and no package.
 */
export { probeAddress } from './config/probe-address.ts'
export { parseDuration } from './config/units.ts'
export { createError, EXIT_CONFIG, isMbsError, reasonOf } from './errors.ts'
export { askHealth } from './selftest/health.ts'
export { VERSION } from './version.ts'
