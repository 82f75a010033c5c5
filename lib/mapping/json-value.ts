/** The value of a JSON payload; undefined where it is none. Pure. */
export function parseJson (payload: Buffer): unknown {
  try {
    return JSON.parse(payload.toString()) as unknown
  } catch {
    return undefined
  }
}
