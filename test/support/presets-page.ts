/** The tables of docs/presets.md, as the rules of the presets say. */
import type { PresetName } from '../../lib/mapping/event-rules.ts'
import { PRESETS } from '../../lib/mapping/presets/presets.ts'

const code = (text: string | undefined): string => text === undefined ? '' : `\`${text.replaceAll('|', '\\|')}\``

/** The rules of a preset as a table. */
export function tableOf (name: PresetName): string {
  const rows = PRESETS[name].rules.map((rule, at) => {
    const { topic, drop, type, source, subject, extensions, contentType, properties } = rule
    if (drop) return [`${at + 1}`, code(topic), 'no event', '', '', '', '']
    const named = Object.entries(extensions).map(([key, value]) => code(`${key}: ${value}`))
    if (properties?.extensions === true) named.push('application properties')
    return [
      `${at + 1}`, code(topic), code(type), code(source), code(subject), named.join(', '),
      contentType === undefined ? 'by content' : code(contentType)
    ]
  })
  const table = [['rule', 'topic', 'type', 'source', 'subject', 'extensions', 'content type'], Array<string>(7).fill('---'), ...rows]
  return table.map((row) => `| ${row.join(' | ')} |`).join('\n')
}
