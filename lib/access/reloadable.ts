/** A way to prove who a device is that lives on files, or on what another service says. */
import type { AuthenticationMethod } from './method.ts'

export interface ReloadableMethod extends AuthenticationMethod {
  /** The files that it reads; when one of them changes, it has to be reloaded. */
  readonly files: readonly string[]
  /**
   * Takes up what stands in its files, and forgets what it remembers of other services. It has to be called once at the
   * start: until then the method answers `unavailable`. Where it throws, what was in force stays in force.
   * @throws MBS_ERR_ACCESS_KEYS, MBS_ERR_ACCESS_HOOK
   */
  reload (): Promise<void>
}
