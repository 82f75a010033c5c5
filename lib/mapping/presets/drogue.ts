/**
 * Drogue IoT Cloud, MQTT endpoint: `docs/modules/user-guide/pages/endpoint-mqtt.adoc` in
 * https://github.com/drogue-iot/drogue-cloud, and its device events, `integration.adoc` beside it.
 *
 * Any topic of one or two levels is a channel: whatever stands behind this preset gets no such topic.
 */
import { dropped, rule, type Preset } from './preset.ts'

const SENDER = { instance: '{name}', application: '{username.realm}', sender: '{username.user}' }

export const drogue: Preset = {
  rules: [
    dropped('command/inbox/#'),
    rule({
      topic: '{channel}',
      type: 'io.drogue.event.v1',
      source: '/drogue/applications/{username.realm}/devices/{username.user}',
      subject: '{channel}',
      extensions: { ...SENDER, device: '{username.user}' }
    }),
    rule({
      topic: '{channel}/{device}',
      type: 'io.drogue.event.v1',
      source: '/drogue/applications/{username.realm}/devices/{device}',
      subject: '{channel}',
      extensions: { ...SENDER, device: '{device}' }
    })
  ]
}
