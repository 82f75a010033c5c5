/**
 * AWS IoT Core: Device Shadow, https://docs.aws.amazon.com/iot/latest/developerguide/device-shadow-mqtt.html, and Basic
 * Ingest, https://docs.aws.amazon.com/iot/latest/developerguide/iot-basic-ingest.html
 *
 * What the shadow service publishes there is for devices. It may be published here too, by whoever takes its part, and
 * is no event.
 */
import type { EventRule } from '../event-rules.ts'
import { dropped, rule, type Preset } from './preset.ts'

const TYPE = 'dev.mqttbrokersource.aws-iot'
const SHADOW = '$aws/things/{thing}/shadow'

function shadows (action: string): EventRule[] {
  const common = { type: `${TYPE}.shadow.${action}`, source: '/aws-iot/things/{thing}' }
  return [
    rule({ topic: `${SHADOW}/${action}`, ...common, subject: '{thing}', extensions: { thing: '{thing}' } }),
    rule({
      topic: `${SHADOW}/name/{shadow}/${action}`,
      ...common,
      subject: '{thing}/{shadow}',
      extensions: { thing: '{thing}', shadow: '{shadow}' }
    })
  ]
}

export const awsIot: Preset = {
  rules: [
    ...['update', 'get', 'delete'].flatMap(shadows),
    dropped('$aws/things/+/shadow/#'),
    rule({
      topic: '$aws/rules/{rule}/{rest...}',
      type: `${TYPE}.ingest`,
      source: '/aws-iot/clients/{clientid}',
      subject: '{rest}',
      extensions: { rule: '{rule}' }
    })
  ],
  reserved: {
    publish: ['$aws/things/+/shadow/#', '$aws/rules/#'],
    subscribe: ['$aws/things/+/shadow/#']
  }
}
