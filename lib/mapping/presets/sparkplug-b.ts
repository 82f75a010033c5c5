/**
 * Eclipse Sparkplug B, chapter 4 of the specification: https://sparkplug.eclipse.org/specification/
 *
 * Payloads are Protocol Buffers and stay as they are; STATE is text: JSON since version 3. Commands are events as well:
 * to a Sparkplug broker they are messages like all others.
 */
import { rule, type Preset } from './preset.ts'

const TYPE = 'dev.mqttbrokersource.sparkplug-b'
const PROTOBUF = 'application/x-protobuf'
const STATE = { type: `${TYPE}.state`, source: '/sparkplug-b/hosts/{host}', subject: '{host}' }

export const sparkplugB: Preset = {
  rules: [
    rule({ topic: 'spBv1.0/STATE/{host}', ...STATE }),
    ...['NBIRTH', 'NDEATH', 'NDATA', 'NCMD'].map((message) => rule({
      topic: `spBv1.0/{group}/${message}/{node}`,
      type: `${TYPE}.${message.toLowerCase()}`,
      source: '/sparkplug-b/groups/{group}/nodes/{node}',
      subject: '{node}',
      contentType: PROTOBUF,
      extensions: { group: '{group}', node: '{node}' }
    })),
    ...['DBIRTH', 'DDEATH', 'DDATA', 'DCMD'].map((message) => rule({
      topic: `spBv1.0/{group}/${message}/{node}/{device}`,
      type: `${TYPE}.${message.toLowerCase()}`,
      source: '/sparkplug-b/groups/{group}/nodes/{node}/devices/{device}',
      subject: '{node}/{device}',
      contentType: PROTOBUF,
      extensions: { group: '{group}', node: '{node}', device: '{device}' }
    })),
    rule({ topic: 'STATE/{host}', ...STATE })
  ]
}
