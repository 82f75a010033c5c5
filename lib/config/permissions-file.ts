/**
 * The permissions that are in force: those of the configuration, or of the file that it names. The file is read at the
 * start and whenever it is told to have changed; it is held against the same schema, and taken whole or not at all.
 */
import { createError, isMbsError, reasonOf } from '../errors.ts'
import { readConfigFile } from './file.ts'
import { examineConfig } from './load.ts'
import { formatProblems } from './problem.ts'
import type { Config, PermissionConfig } from './schema.ts'

/**
 * The permissions of a configuration; undefined: it has none, and everything is allowed.
 * @throws MBS_ERR_ACCESS_PERMISSIONS
 */
export function readPermissions ({ access }: Config): readonly PermissionConfig[] | undefined {
  return access.permissionsFile === undefined ? access.permissions : readPermissionsFile(access.permissionsFile)
}

function readPermissionsFile (file: string): readonly PermissionConfig[] {
  try {
    const { values } = readConfigFile(file)
    const { permissions, ...others } = values
    if (permissions === undefined || Object.keys(others).length > 0) {
      throw new Error('it has to have `permissions:` with a list, and nothing else')
    }
    const { loaded, problems } = examineConfig({ env: {}, settings: { access: { permissions } } })
    if (loaded?.config.access.permissions !== undefined) return loaded.config.access.permissions
    throw new Error(formatProblems(problems.map((problem) => ({ ...problem, origin: `file ${file}` }))))
  } catch (error) {
    const reason = isMbsError(error) ? reasonOf(error.message) : reasonOf(error)
    throw createError('MBS_ERR_ACCESS_PERMISSIONS', { file, reason }, error)
  }
}
