/** The address of a node as it is written in the configuration. Pure. */

/** A host and port out of `host:port`, or `[address]:port` of IPv6; undefined where it is none. */
export function parseNode (node: string): { readonly host: string, readonly port: number } | undefined {
  const [, six, four, port] = /^(?:\[([0-9A-Fa-f:.]+)\]|([^\s:[\]/@]+)):(\d{1,5})$/.exec(node) ?? []
  const host = six ?? four
  if (host === undefined || Number(port) < 1 || Number(port) > 65_535) return undefined
  return { host, port: Number(port) }
}
