/** Reads the text that /metrics serves, as strictly as promtool does: what is not in order throws. */

/** One metric with its samples, by their text up to the value: `name{label="value"}`. */
export interface Family {
  readonly help: string
  readonly type: string
  readonly samples: Map<string, number>
}

const SAMPLE = /^([a-zA-Z_:][\w:]*)(\{[a-zA-Z_]\w*="(?:[^"\\]|\\.)*"(?:,[a-zA-Z_]\w*="(?:[^"\\]|\\.)*")*\})? (\S+)$/

/** Reads a whole exposition. Throws on a sample without HELP and TYPE before it, on a duplicate, on no number. */
export function parseMetrics (text: string): Map<string, Family> {
  if (!text.endsWith('\n')) throw new Error('the last line is not ended')
  const families = new Map<string, Family>()
  let help: { name: string, text: string } | undefined
  let current: { name: string, family: Family } | undefined
  for (const line of text.split('\n')) {
    const [, kind, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? []
    if (line === '') continue
    if (kind === 'HELP') {
      help = { name, text: rest }
    } else if (kind === 'TYPE') {
      if (help?.name !== name) throw new Error(`no HELP before TYPE: ${line}`)
      if (families.has(name)) throw new Error(`a second time: ${line}`)
      current = { name, family: { help: help.text, type: rest, samples: new Map() } }
      families.set(name, current.family)
    } else {
      addSample(line, current)
    }
  }
  return families
}

/** The value of a sample; undefined where there is none. */
export function sampleOf (families: Map<string, Family>, key: string): number | undefined {
  for (const family of families.values()) {
    const value = family.samples.get(key)
    if (value !== undefined) return value
  }
  return undefined
}

function addSample (line: string, current: { name: string, family: Family } | undefined): void {
  const [, name, labels = '', value] = SAMPLE.exec(line) ?? []
  if (name === undefined || current === undefined) throw new Error(`not a sample: ${line}`)
  const suffix = name.startsWith(current.name) ? name.slice(current.name.length) : undefined
  const allowed = ['histogram', 'summary'].includes(current.family.type) ? ['_bucket', '_sum', '_count', ''] : ['']
  if (suffix === undefined || !allowed.includes(suffix)) throw new Error(`not under its own HELP: ${line}`)
  if (current.family.samples.has(name + labels)) throw new Error(`a duplicate: ${line}`)
  const number = Number(value === '+Inf' ? 'Infinity' : value)
  if (Number.isNaN(number) && value !== 'NaN' && value !== 'Nan') throw new Error(`not a number: ${line}`)
  current.family.samples.set(name + labels, number)
}
