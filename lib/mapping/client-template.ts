/**
 * Templates for what is said of a client and of no publish: those of template.ts with the placeholders that have a
 * meaning then. Pure.
 */
import type { ClientIdentity, Publish } from '../message.ts'
import { parseTemplate, type TemplateKind } from './template.ts'

export interface ClientTemplate {
  /** The text for one client; undefined: a value is missing. @param name names this broker */
  render (client: ClientIdentity, name: string): string | undefined
}

const PLACEHOLDER = /\{([^{}|]*)[^{}]*\}/g
const OF_CLIENTS = /^(?:clientid|username|name|cert\.cn|cert\.fingerprint|cert\.san\.(?:URI|DNS|email))$/

/** All that a template asks of a publish, but for its client: nothing here. */
const NO_PUBLISH: Omit<Publish, 'client'> = Object.freeze({
  topic: '', payload: Buffer.alloc(0), qos: 0, retain: false, dup: false, will: false, receivedAt: 0
})
const NO_LEVELS: readonly string[] = Object.freeze([])

/** Reads a template; a sentence about what is wrong with it where it is none. */
export function parseClientTemplate (text: string, kind: TemplateKind): ClientTemplate | string {
  for (const [, name = ''] of text.matchAll(PLACEHOLDER)) {
    if (OF_CLIENTS.test(name)) continue
    return `{${name}} is no placeholder here: there are clientid, username, name, cert.cn, cert.fingerprint, cert.san.TYPE`
  }
  const template = parseTemplate(text, [], kind)
  if (typeof template === 'string') return template
  return {
    render: (client, name) => {
      return template.render({ publish: { ...NO_PUBLISH, client }, levels: NO_LEVELS, name, json: () => undefined })
    }
  }
}
