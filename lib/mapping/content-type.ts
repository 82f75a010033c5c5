/**
 * Finds the content type of a payload by its bytes: MQTT 3.1.1 carries none. On the path of every publish; costs at
 * most two passes over the payload. Pure.
 */
import { isUtf8 } from 'node:buffer'
import { isJson } from '../cloudevent/json-grammar.ts'

/** @returns undefined for an empty payload, which is no data and has no type */
export function detectContentType (payload: Buffer): string | undefined {
  if (payload.length === 0) return undefined
  if (isJson(payload)) return 'application/json'
  return isUtf8(payload) ? 'text/plain' : 'application/octet-stream'
}
