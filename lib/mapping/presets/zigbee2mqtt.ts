/**
 * Zigbee2MQTT with its usual base topic: https://www.zigbee2mqtt.io/guide/usage/mqtt_topics_and_messages.html
 *
 * Names of devices and groups may have slashes; up to three parts of them are told from `set`, `get` and `availability`
 * behind them. Commands are events as well: to the broker they are messages like all others.
 */
import type { EventRule } from '../event-rules.ts'
import { rule, type Preset } from './preset.ts'

const TYPE = 'dev.mqttbrokersource.zigbee2mqtt'
const BRIDGE = 'zigbee2mqtt/bridge'

function bridge (topic: string, kind: string, subject: string): EventRule {
  return rule({ topic: `${BRIDGE}/${topic}`, type: `${TYPE}.bridge${kind}`, source: '/zigbee2mqtt/bridge', subject })
}

/** @param name placeholders of a name of one or more parts */
function ofDevice (name: string): EventRule[] {
  const origin = { source: `/zigbee2mqtt/devices/${name}`, subject: name }
  return [
    rule({ topic: `zigbee2mqtt/${name}/availability`, type: `${TYPE}.availability`, ...origin }),
    ...['set', 'get'].flatMap((action) => [
      rule({ topic: `zigbee2mqtt/${name}/${action}`, type: `${TYPE}.${action}`, ...origin }),
      rule({ topic: `zigbee2mqtt/${name}/${action}/{attribute}`, type: `${TYPE}.${action}`, ...origin, extensions: { attribute: '{attribute}' } })
    ])
  ]
}

export const zigbee2mqtt: Preset = {
  rules: [
    bridge('state', '.state', 'state'),
    bridge('event', '.event', 'event'),
    bridge('logging', '.logging', 'logging'),
    bridge('request/{request...}', '.request', '{request}'),
    bridge('response/{request...}', '.response', '{request}'),
    bridge('{kind...}', '', '{kind}'),
    ...['{device}', '{folder}/{device}', '{place}/{folder}/{device}'].flatMap(ofDevice),
    rule({
      topic: 'zigbee2mqtt/{device...}', type: `${TYPE}.device`, source: '/zigbee2mqtt/devices/{device}', subject: '{device}'
    })
  ]
}
