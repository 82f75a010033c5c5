/**
 * Home Assistant: discovery, https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery, and statestream,
 * https://www.home-assistant.io/integrations/mqtt_statestream/, both with their usual prefix `homeassistant`.
 *
 * States of devices have topics of their own, which discovery names; the usual ones are those below.
 */
import { rule, type Preset } from './preset.ts'

const TYPE = 'dev.mqttbrokersource.home-assistant'

const ENTITY = {
  source: '/home-assistant/{component}/{object}', subject: '{component}.{object}', extensions: { component: '{component}' }
}
const IN_NODE = {
  source: '/home-assistant/{component}/{node}/{object}',
  subject: '{component}.{object}',
  extensions: { component: '{component}', node: '{node}' }
}

export const homeAssistant: Preset = {
  rules: [
    rule({ topic: 'homeassistant/status', type: `${TYPE}.status`, source: '/home-assistant', subject: 'status' }),
    rule({ topic: 'homeassistant/{component}/{object}/config', type: `${TYPE}.discovery`, ...ENTITY }),
    rule({ topic: 'homeassistant/{component}/{node}/{object}/config', type: `${TYPE}.discovery`, ...IN_NODE }),
    rule({ topic: 'homeassistant/{component}/{object}/state', type: `${TYPE}.state`, ...ENTITY }),
    rule({ topic: 'homeassistant/{component}/{object}/set', type: `${TYPE}.command`, ...ENTITY }),
    rule({
      topic: 'homeassistant/{component}/{object}/{attribute}',
      type: `${TYPE}.attribute`,
      ...ENTITY,
      extensions: { ...ENTITY.extensions, attribute: '{attribute}' }
    })
  ]
}
