import { test } from 'tap'
import { checkConfig } from '../../../lib/config/check.ts'
import { loadConfig } from '../../../lib/config/load.ts'
import { readPermissions } from '../../../lib/config/permissions-file.ts'
import { writeYaml } from '../../support/config-files.ts'

const configOf = (access: object) => loadConfig({ env: {}, settings: { access } }).config

test('permissions stand in the configuration or in a file, with the same defaults', async (t) => {
  t.equal(readPermissions(configOf({})), undefined)
  const given = [{ who: 'ada', publish: ['a'] }]
  const permissionsFile = writeYaml(t.testdir(), 'permissions:\n  - { who: ada, publish: [a] }\n')
  t.strictSame(readPermissions(configOf({ permissionsFile })), readPermissions(configOf({ permissions: given })))
  t.strictSame(readPermissions(configOf({ permissionsFile: writeYaml(t.testdir(), 'permissions: []') })), [])
})

test('a file that is not whole is never taken for one that allows something', async (t) => {
  for (const [text, reason] of [
    ['', /nothing else/], ['permissions:', /found null/], ['permission: []', /nothing else/], ['permissions: []\nmore: 1', /nothing else/],
    ['permissions: [{ who: "*", publish: ["a#"] }]', /permissions\[0\]\.publish\[0\].*"a#"/], ['permissions: [', /not valid YAML/],
    ['- a', /line 1/], ['permissions: [{ publish: [a] }]', /who/]
  ] as const) {
    const permissionsFile = writeYaml(t.testdir(), text)
    const error = { code: 'MBS_ERR_ACCESS_PERMISSIONS', message: reason, exitCode: 78 }
    t.throws(() => readPermissions(configOf({ permissionsFile })), error, text)
    const { problems } = checkConfig({ env: {}, settings: { access: { permissionsFile } } })
    t.match(problems, [{ path: 'access.permissionsFile', error: { code: 'MBS_ERR_ACCESS_PERMISSIONS' } }], text)
  }
  t.throws(() => readPermissions(configOf({ permissionsFile: '/nowhere' })), { code: 'MBS_ERR_ACCESS_PERMISSIONS', message: /ENOENT/ })
})
