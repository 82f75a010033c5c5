/**
 * JSON as text: cut and indented without being rewritten. `JSON.stringify(JSON.parse(text))` turns 1.0 into
 * 1 and 12345678901234567890 into 12345678901234567000, and drops duplicate keys; a device's numbers are not ours to
 * change. Pure.
 */
import { isJson } from './json-grammar.ts'

/** The bytes as JSON text, or nothing where they are none: not UTF-8, a byte order mark, no JSON, nested too deep. */
export function jsonText (bytes: Buffer): string | undefined {
  return isJson(bytes) ? bytes.toString() : undefined
}

/**
 * Cuts the members out of a JSON object, each value as the text it was written as.
 * @param text valid JSON, an object
 * @returns name and text of each member in order; a name that appears twice is in it twice
 */
export function jsonMembers (text: string): [name: string, value: string][] {
  const members: [string, string][] = []
  let at = text.indexOf('{') + 1
  for (;;) {
    const begin = text.indexOf('"', at)
    if (begin < 0) return members
    const end = stringEnd(text, begin)
    const name = JSON.parse(text.slice(begin, end)) as string
    const from = text.indexOf(':', end) + 1
    at = valueEnd(text, from)
    members.push([name, text.slice(from, at).trim()])
    if (text[at] === '}') return members
    at++
  }
}

/** Cuts the elements out of a JSON array in the same way. @param text valid JSON, an array */
export function jsonElements (text: string): string[] {
  const elements: string[] = []
  let at = text.indexOf('[')
  while (text[at] !== ']') {
    const from = at + 1
    at = valueEnd(text, from)
    const element = text.slice(from, at).trim()
    if (element !== '') elements.push(element)
  }
  return elements
}

/** Where the string that begins at `begin` ends: behind its closing quote. */
function stringEnd (text: string, begin: number): number {
  let at = begin + 1
  while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1
  return at + 1
}

/** Where the value that begins at `from` ends: at the comma or the bracket behind it. */
function valueEnd (text: string, from: number): number {
  let depth = 0
  let at = from
  for (;;) {
    switch (text[at]) {
      case '"': at = stringEnd(text, at); continue
      case '{': case '[': depth++; break
      case '}': case ']': if (depth-- === 0) return at; break
      case ',': if (depth === 0) return at; break
      case undefined: return at
    }
    at++
  }
}

/**
 * Indents JSON as Go's json.Indent does: only white space between the tokens is changed.
 * @param text valid JSON
 * @param margin begins every line but the first
 * @param indent added once per level
 */
export function indentJson (text: string, margin: string, indent: string): string {
  let out = ''
  let depth = 0
  let empty = false // just behind an opening bracket
  const breakLine = () => { out += '\n' + margin + indent.repeat(depth) }
  for (let at = 0; at < text.length;) {
    const character = text[at] as string
    if (character === ' ' || character === '\n' || character === '\r' || character === '\t') { at++; continue }
    const closes = character === '}' || character === ']'
    if (empty && !closes) { depth++; breakLine() }
    switch (character) {
      case '{': case '[': out += character; break
      case '}': case ']':
        if (!empty) { depth--; breakLine() }
        out += character
        break
      case ',': out += ','; breakLine(); break
      case ':': out += ': '; break
      default: {
        const end = character === '"' ? stringEnd(text, at) : tokenEnd(text, at)
        out += text.slice(at, end)
        at = end - 1
      }
    }
    empty = character === '{' || character === '['
    at++
  }
  return out
}

function tokenEnd (text: string, from: number): number {
  let at = from + 1
  while (at < text.length && !' \n\r\t{}[],:"'.includes(text[at] as string)) at++
  return at
}
