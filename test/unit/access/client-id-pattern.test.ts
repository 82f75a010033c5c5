import { test } from 'tap'
import { matchesClientId, parseClientIdPattern, type ClientIdPattern } from '../../../lib/access/client-id-pattern.ts'

function matches (pattern: string, clientId: string, username: string): boolean {
  return matchesClientId(parseClientIdPattern(pattern) as ClientIdPattern, clientId, username)
}

test('what stands in a pattern counts letter by letter, {username} is the name, * at the end is anything', async (t) => {
  t.equal(matches('{username}', 'a', 'a'), true)
  t.equal(matches('{username}', 'ab', 'a'), false)
  t.equal(matches('{username}', 'A', 'a'), false)
  t.equal(matches('dev-{username}/*', 'dev-a/1', 'a'), true)
  t.equal(matches('dev-{username}/*', 'dev-a/', 'a'), true)
  t.equal(matches('dev-{username}/*', 'dev-ab/1', 'a'), false)
  t.equal(matches('{username}:{username}', 'a:a', 'a'), true)
  t.equal(matches('gateway', 'gateway', 'a'), true)
  t.equal(matches('*', 'whatever', 'a'), true)
  t.equal(matches('a.c', 'abc', 'x'), false, 'no regular expression')
})

test('what a name brings in is literal', async (t) => {
  t.equal(matches('{username}', 'victim', '*'), false)
  t.equal(matches('{username}', '*', '*'), true)
  t.equal(matches('{username}/*', 'victim/1', '*'), false)
  t.equal(matches('{username}', 'x', '{username}'), false)
  t.equal(matches('{username}-{username}', '$&-$&', '$&'), true)
  t.equal(matches('{username}', '$&', '$$&'), false)
  t.equal(matches('{username}', '__proto__', '__proto__'), true)
})

test('a pattern that would not do what it says is refused', async (t) => {
  for (const [pattern, reason] of [
    ['', /empty/], ['a*b', /end only/], ['**', /end only/], ['{clientid}', /\{username\}/], ['{username', /\{username\}/], ['a}', /\{username\}/],
    ['{username}*', /session of the user "ab"/], ['dev-{username}*', /session of the user "ab"/]
  ] as const) t.match(parseClientIdPattern(pattern), reason, pattern)
})
