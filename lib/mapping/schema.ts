/**
 * JSON Schemas of rules, compiled when the configuration is read: what data has to be like. A schema stands alone and
 * loads nothing.
 *
 * Words about a mistake say where it is and which keyword found it, never what stands there.
 */
import { Ajv, type ErrorObject, type Options, type ValidateFunction } from 'ajv'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { toAttributeString } from '../cloudevent/attributes.ts'
import { reasonOf } from '../errors.ts'
import { FORMATS, isUri } from './schema-formats.ts'

export interface CompiledSchema {
  /** Its `$id`, where that is a URI: what events whose data fits can say as `dataschema`. */
  readonly id: string | undefined
  /** What is wrong with data, in words; undefined: it fits. */
  mistakeIn (data: unknown): string | undefined
}

/** Found in `$schema`, without a `#` at the end. */
const DRAFT_07 = /^https?:\/\/json-schema\.org\/draft-07\/schema$/
const DRAFT_2020 = /^https?:\/\/json-schema\.org\/draft\/2020-12\/schema$/

const OPTIONS: Options = {
  // A word that is no keyword is a mistake, as in the configuration; what types and lists may be is the schema's own.
  strictSchema: true,
  strictTypes: false,
  strictTuples: false,
  strictRequired: false,
  logger: false,
  formats: FORMATS
}

/** Mistakes that are named, and the longest place of one. */
const MAX_MISTAKES = 3
const MAX_PLACE = 120

export class Schemas {
  // By their text: many rules may have the same.
  readonly #compiled = new Map<string, CompiledSchema | string>()
  #draft07: Ajv | undefined
  #draft2020: Ajv2020 | undefined

  /** Compiles a schema; a sentence about what is wrong with it, if it is none. */
  compile (schema: unknown): CompiledSchema | string {
    const text = JSON.stringify(schema) ?? ''
    let compiled = this.#compiled.get(text)
    if (compiled === undefined) {
      compiled = this.#compile(schema)
      this.#compiled.set(text, compiled)
    }
    return compiled
  }

  #compile (schema: unknown): CompiledSchema | string {
    if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) return 'a schema is a JSON object'
    const { $schema, $id, $async } = schema as Readonly<Record<string, unknown>>
    if ($async !== undefined) return '$async is no keyword of JSON Schema'
    const ajv = this.#ajvFor($schema)
    if (ajv === undefined) return '$schema is draft-07 or 2020-12 of https://json-schema.org'
    try {
      const validate = ajv.compile(schema)
      return { id: typeof $id === 'string' && isUri($id) ? $id : undefined, mistakeIn: (data) => mistakeIn(data, validate) }
    } catch (error) {
      const { missingRef } = error as { missingRef?: unknown }
      return missingRef === undefined ? reasonOf(error) : `it refers to ${String(missingRef)}, which is not in it`
    } finally {
      ajv.removeSchema(schema) // another one may have the same $id, and none may refer to it
    }
  }

  #ajvFor ($schema: unknown): Ajv | Ajv2020 | undefined {
    const draft = $schema === undefined ? undefined : String($schema).replace(/#$/, '')
    if (draft === undefined || DRAFT_2020.test(draft)) return (this.#draft2020 ??= new Ajv2020(OPTIONS))
    return DRAFT_07.test(draft) ? (this.#draft07 ??= new Ajv(OPTIONS)) : undefined
  }
}

/**
 * The schema that a file holds.
 * @throws a sentence about what is wrong with it
 */
export function parseSchema (text: string, schemas: Schemas): CompiledSchema {
  const compiled = schemas.compile(JSON.parse(text))
  if (typeof compiled === 'string') throw new Error(compiled)
  return compiled
}

function mistakeIn (data: unknown, validate: ValidateFunction): string | undefined {
  try {
    if (validate(data)) return undefined
  } catch { // a schema that refers to itself follows data as deep as it goes
    return 'it is nested too deeply'
  }
  return (validate.errors ?? []).slice(0, MAX_MISTAKES).map(describe).join(', ')
}

function describe ({ instancePath, keyword, params }: ErrorObject): string {
  const place = toAttributeString(instancePath)
  const shown = place.length > MAX_PLACE ? `${place.slice(0, MAX_PLACE)}…` : place
  const missing = keyword === 'required' ? ` ${JSON.stringify(params['missingProperty'])}` : ''
  return `${keyword}${missing} at ${shown === '' ? 'the top' : shown}`
}
