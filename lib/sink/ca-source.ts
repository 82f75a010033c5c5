/**
 * Where the CA certificates of a sink come from, beside those that node trusts: a file, a directory of files, texts.
 * Between the settings and `createTrust`. Read at the start and whenever the files change.
 */
import { X509Certificate } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createError, reasonOf } from '../errors.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { certificatesIn } from './sink-tls.ts'

export interface CaSettings {
  readonly file?: string | undefined
  /** Filled by somebody else. One that is not there when the source is made is not used. */
  readonly directory?: string | undefined
  /** PEM. */
  readonly texts: readonly string[]
}

export class CaSource {
  /** What to watch: a file, a directory. */
  readonly files: readonly string[]
  readonly #settings: CaSettings
  readonly #telemetry: Telemetry

  constructor ({ file, directory, texts }: CaSettings, telemetry: Telemetry) {
    const mounted = directory !== undefined && existsSync(directory) ? directory : undefined
    this.#settings = { file, directory: mounted, texts }
    this.#telemetry = telemetry
    this.files = [file, mounted].filter((path) => path !== undefined)
  }

  /**
   * PEM texts. A file of the directory that holds no certificates, or broken ones, is left out and told of: it is not
   * this program's, and nothing else should depend on it.
   * @throws MBS_ERR_SINK_CA where `file` cannot be read
   */
  read (): string[] {
    const { file, directory, texts } = this.#settings
    try {
      return [
        ...(file === undefined ? [] : [readFileSync(file, 'utf8')]),
        ...(directory === undefined ? [] : this.#readDirectory(directory)),
        ...texts
      ]
    } catch (error) {
      throw createError('MBS_ERR_SINK_CA', { reason: reasonOf(error) }, error)
    }
  }

  /** The names that begin with a dot are those of Kubernetes: a volume is replaced by turning a link among them. */
  #readDirectory (directory: string): string[] {
    const names = readdirSync(directory).filter((name) => !name.startsWith('.')).sort()
    return names.flatMap((name) => {
      const file = join(directory, name)
      try {
        const certificates = certificatesIn(readFileSync(file, 'utf8'))
        return certificates.filter((certificate) => new X509Certificate(certificate).subject !== undefined)
      } catch (error) {
        this.#telemetry.caFileLeftOut({ file, reason: reasonOf(error) })
        return []
      }
    })
  }
}
