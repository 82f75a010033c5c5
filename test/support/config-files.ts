/** Files for tests of the configuration, and what is wrong with them. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { problemsOf, loadConfig, type LoadOptions } from '../../lib/config/load.ts'
import type { Problem } from '../../lib/config/problem.ts'

/** Writes a configuration file and tells its path. */
export function writeYaml (directory: string, text: string, name = 'gateway.yaml'): string {
  const file = join(directory, name)
  writeFileSync(file, text)
  return file
}

/** The mistakes for which a configuration is refused, by path; empty where it is accepted. */
export function mistakesIn (options: LoadOptions): Map<string, Problem> {
  try {
    loadConfig({ env: {}, ...options })
    return new Map()
  } catch (error) {
    const problems = problemsOf(error)
    if (problems.length === 0) throw error
    return new Map(problems.map((problem) => [problem.path, problem]))
  }
}
