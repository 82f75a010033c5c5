/** What stands in the section `redis` of the configuration, and in its password files, as it is written there. Pure. */

/** A host and port out of `host:port`, or `[address]:port` of IPv6; undefined where it is none. */
export function parseNode (node: string): { readonly host: string, readonly port: number } | undefined {
  const [, six, four, port] = /^(?:\[([0-9A-Fa-f:.]+)\]|([^\s:[\]/@]+)):(\d{1,5})$/.exec(node) ?? []
  const host = six ?? four
  if (host === undefined || Number(port) < 1 || Number(port) > 65_535) return undefined
  return { host, port: Number(port) }
}

/** The number of the database in a URL; 0 without one. */
export function databaseOf (url: string | undefined): number {
  return url === undefined ? 0 : Number(new URL(url).pathname.slice(1))
}

/** The password in a text. @throws Error where there is none, or more than one line */
export function parsePassword (text: string): string {
  const password = text.trim()
  if (password === '' || password.includes('\n')) throw new Error('it holds no password: one line')
  return password
}
