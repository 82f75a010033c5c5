/** All presets by their names in `events.presets`. */
import type { PresetName } from '../event-rules.ts'
import { awsIot } from './aws-iot.ts'
import { azureIotHub } from './azure-iot-hub.ts'
import { drogue } from './drogue.ts'
import { homeAssistant } from './home-assistant.ts'
import { hono } from './hono.ts'
import type { Preset } from './preset.ts'
import { sparkplugB } from './sparkplug-b.ts'
import { tasmota } from './tasmota.ts'
import { zigbee2mqtt } from './zigbee2mqtt.ts'

export const PRESETS: Readonly<Record<PresetName, Preset>> = {
  hono,
  'aws-iot': awsIot,
  'azure-iot-hub': azureIotHub,
  'sparkplug-b': sparkplugB,
  'home-assistant': homeAssistant,
  tasmota,
  zigbee2mqtt,
  drogue
}
