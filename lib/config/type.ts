/**
 * What of TypeBox the schema is made with. The types are those of TypeBox, which says what a configuration is; the few
 * functions make the same JSON Schema as its own, without the hundreds of modules that those come with and that every
 * start would load.
 */
import type * as TypeBox from 'typebox'

type Kinds = Pick<
  typeof TypeBox.Type, 'Array' | 'Boolean' | 'Enum' | 'Integer' | 'Number' | 'Object' | 'Optional' | 'String' | 'Unsafe'
>

/** What of a section need not be there. */
const optional = new WeakSet<object>()

export const Type = {
  Array: (items: object, options?: object) => ({ type: 'array', items, ...options }),
  Boolean: (options?: object) => ({ type: 'boolean', ...options }),
  Enum: (values: readonly unknown[], options?: object) => ({ enum: [...values], ...options }),
  Integer: (options?: object) => ({ type: 'integer', ...options }),
  Number: (options?: object) => ({ type: 'number', ...options }),
  Object: (properties: Record<string, object>, options?: object) => {
    const required = Object.keys(properties).filter((key) => !optional.has(properties[key] as object))
    return { type: 'object', ...(required.length > 0 && { required }), properties, ...options }
  },
  Optional: (schema: object) => {
    const copy = { ...schema }
    optional.add(copy)
    return copy
  },
  String: (options?: object) => ({ type: 'string', ...options }),
  Unsafe: (schema: object) => ({ ...schema })
} as unknown as Kinds
