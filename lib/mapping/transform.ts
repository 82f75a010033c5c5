/**
 * A rule's JSONata expression, read when the configuration is: found to be one here, evaluated in a process of its own
 * (transformer.ts). Pure.
 */
import jsonata from 'jsonata'
import { unknownFunctionIn } from './transform-functions.ts'

export interface Transform {
  readonly text: string
  /** It asks for `$event` or `$topic`, which are handed to it only then. */
  readonly usesVariables: boolean
}

const VARIABLES = /\$(?:event|topic)\b/

/** Reads an expression; a sentence about what is wrong with it, and where, if it is none. */
export function parseTransform (text: string): Transform | string {
  try {
    const unknown = unknownFunctionIn(jsonata(text).ast())
    if (unknown !== undefined) return `there is no function $${unknown.name}, at character ${unknown.position}`
    return { text, usesVariables: VARIABLES.test(text) }
  } catch (error) {
    const { message, position } = error as { message?: string, position?: number }
    const reason = (message ?? 'it cannot be read').replace(/\.$/, '')
    return position === undefined ? reason : `${reason}, at character ${position}`
  }
}
