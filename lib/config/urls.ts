/** What a URL in the configuration may be. Pure. */
import { isLoopback } from './addresses.ts'

/** What is wrong with a URL that requests are sent to; undefined: nothing. */
export function httpUrlMistake (text: string): string | undefined {
  if (!URL.canParse(text)) return 'it is not an absolute URL'
  const url = new URL(text)
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return `the scheme is ${url.protocol.slice(0, -1)}`
  if (url.username !== '' || url.password !== '') return 'it holds a user or password'
  if (url.hash !== '') return 'it has a fragment, which is never sent'
  return undefined
}

/** True for http:// to another machine. */
export function isPlainText (url: string): boolean {
  const { protocol, hostname } = new URL(url)
  return protocol === 'http:' && !isLoopback(hostname.replace(/^\[(.*)\]$/, '$1'))
}
