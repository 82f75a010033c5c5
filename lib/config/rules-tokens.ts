/** The rules about `access.jwt` and `access.http`; see rules.ts. */
import { createError } from '../errors.ts'
import { describeFound, redactUrl, type Path, type Report } from './problem.ts'
import type { DraftConfig } from './schema.ts'
import { ACCESS_URL } from './schema-tokens.ts'
import { formatDuration } from './units.ts'
import { httpUrlMistake, isPlainText } from './urls.ts'

type Jwt = NonNullable<DraftConfig['access']['jwt']>
type Hook = NonNullable<DraftConfig['access']['http']>

type Access = DraftConfig['access']

/** What permissions ask for and no session can have: they grant less than they seem to. */
export function warnOfPermissions (
  { access, listeners }: DraftConfig, permissions: NonNullable<Access['permissions']>, report: Report
): void {
  if (permissions.length === 0) report.warn('access.permissions is an empty list: nobody may publish or subscribe to anything')
  const texts = (rule: (typeof permissions)[number]): string[] =>
    [...rule.publish, ...rule.subscribe, ...rule.deny.publish, ...rule.deny.subscribe]
  for (const [index, rule] of permissions.entries()) {
    const lacking = (what: string, setting: string): void => {
      report.warn(`access.permissions[${index}] asks for ${what}, which no session has: ${setting}`)
    }
    const hasClaims = access.jwt !== undefined || access.http !== undefined
    if (!hasClaims && (Object.keys(rule.claims).length > 0 || texts(rule).some((text) => text.includes('{claim.')))) {
      lacking('claims', 'neither access.jwt nor access.http is set')
    }
    const hasCertificates = listeners.some(({ tls }) => tls !== undefined && tls.clientCertificate !== 'none')
    if (!hasCertificates && texts(rule).some((text) => text.includes('{cert.cn}'))) {
      lacking('the name in a certificate', 'no listener has tls.clientCertificate')
    }
  }
}

export function checkTokens ({ access }: DraftConfig, report: Report): void {
  if (report.sound(['access', 'jwt']) && access.jwt !== undefined) checkJwt(access.jwt, report)
  if (report.sound(['access', 'http']) && access.http !== undefined) checkHook(access.http, report)
}

function checkJwt (jwt: Jwt, report: Report): void {
  const path: Path = ['access', 'jwt']
  if ((jwt.jwks === undefined) === (jwt.publicKey === undefined)) {
    return report.add(path, {
      found: jwt.jwks === undefined ? 'neither jwks nor publicKey' : 'both jwks and publicKey', allowed: 'exactly one of jwks and publicKey'
    })
  }
  if (jwt.publicKey?.includes('://') === true) {
    report.add([...path, 'publicKey'], { found: describeFound(jwt.publicKey), allowed: 'a path', hint: 'keys at a URL are set with jwks' })
  }
  if (jwt.jwks?.includes('://') === true) {
    const reason = httpUrlMistake(jwt.jwks) ?? (isPlainText(jwt.jwks) ? 'whoever is in between could put in keys of their own' : undefined)
    if (reason !== undefined) addUrl([...path, 'jwks'], jwt.jwks, reason, `a path, or ${ACCESS_URL}`, report)
  }
  if (jwt.refresh > jwt.maxAge) {
    report.add([...path, 'refresh'], {
      found: formatDuration(jwt.refresh), allowed: `at most access.jwt.maxAge (${formatDuration(jwt.maxAge)})`
    })
  }
  if (jwt.cooldown > jwt.refresh) {
    report.add([...path, 'cooldown'], {
      found: formatDuration(jwt.cooldown), allowed: `at most access.jwt.refresh (${formatDuration(jwt.refresh)})`
    })
  }
}

function checkHook ({ url }: Hook, report: Report): void {
  const reason = httpUrlMistake(url)
  if (reason !== undefined) {
    addUrl(['access', 'http', 'url'], url, reason, 'an absolute http:// or https:// URL without user and password', report)
  } else if (isPlainText(url)) {
    report.warn('access.http.url is http:// and not on loopback: passwords travel to it in the clear')
  }
}

function addUrl (path: Path, url: string, reason: string, allowed: string, report: Report): void {
  const error = createError('MBS_ERR_ACCESS_URL', { url: redactUrl(url), reason })
  report.add(path, { found: describeFound(url), allowed, error })
}
