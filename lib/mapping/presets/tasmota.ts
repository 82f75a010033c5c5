/**
 * Tasmota with its usual FullTopic, `%prefix%/%topic%/`: https://tasmota.github.io/docs/MQTT/
 *
 * Commands are events as well: to the broker they are messages like all others.
 */
import { rule, type Preset } from './preset.ts'

const TYPE = 'dev.mqttbrokersource.tasmota'
const SOURCE = '/tasmota/{device}'

export const tasmota: Preset = {
  rules: [
    ...['SENSOR', 'STATE', 'LWT'].map((message) => rule({
      topic: `tele/{device}/${message}`, type: `${TYPE}.${message.toLowerCase()}`, source: SOURCE, subject: message
    })),
    rule({ topic: 'tele/{device}/{message}', type: `${TYPE}.telemetry`, source: SOURCE, subject: '{message}' }),
    rule({ topic: 'stat/{device}/RESULT', type: `${TYPE}.result`, source: SOURCE, subject: 'RESULT' }),
    rule({ topic: 'stat/{device}/{message}', type: `${TYPE}.status`, source: SOURCE, subject: '{message}' }),
    rule({ topic: 'cmnd/{device}/{message}', type: `${TYPE}.command`, source: SOURCE, subject: '{message}' })
  ]
}
