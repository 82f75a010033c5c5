/** Characters of a path segment that need no encoding [RFC 3986 2.3]. */
const UNRESERVED = /^[A-Za-z0-9._~-]*$/

/** One segment of a path, percent-encoded [RFC 3986 3.3]. A lone surrogate becomes U+FFFD. Pure. */
export function pathSegment (text: string): string {
  if (UNRESERVED.test(text)) return text
  return encodeURIComponent(text.replace(/\p{Surrogate}/gu, '\ufffd'))
}
