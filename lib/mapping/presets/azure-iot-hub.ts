/**
 * Azure IoT Hub: https://learn.microsoft.com/azure/iot/iot-mqtt-connect-to-iot-hub
 *
 * Topics of twins and methods name no device: there the client identifier is the device, as IoT Hub wants it. System
 * properties are those that the device SDKs send: `$.ct`, `$.ce`, `$.mid`, `$.cid`, `$.uid`, `$.sub`.
 */
import { dropped, rule, type Preset } from './preset.ts'

const TYPE = 'dev.mqttbrokersource.azure-iot-hub'

const MESSAGE = {
  type: `${TYPE}.telemetry`,
  contentType: '{property.$.ct}',
  properties: { from: '{bag}', extensions: true },
  extensions: {
    contentencoding: '{property.$.ce}',
    messageid: '{property.$.mid}',
    correlationid: '{property.$.cid}',
    userid: '{property.$.uid}',
    component: '{property.$.sub}'
  }
}

const REQUEST = {
  source: '/azure-iot-hub/devices/{clientid}',
  subject: 'devices/{clientid}',
  properties: { from: '{bag}', extensions: false },
  extensions: { requestid: '{property.$rid}' }
}

export const azureIotHub: Preset = {
  rules: [
    rule({
      topic: 'devices/{device}/messages/events/{bag...}',
      ...MESSAGE,
      source: '/azure-iot-hub/devices/{device}',
      subject: 'devices/{device}'
    }),
    rule({
      topic: 'devices/{device}/modules/{module}/messages/events/{bag...}',
      ...MESSAGE,
      source: '/azure-iot-hub/devices/{device}/modules/{module}',
      subject: 'devices/{device}/modules/{module}'
    }),
    rule({ topic: '$iothub/twin/PATCH/properties/reported/{bag...}', type: `${TYPE}.twin.reported`, ...REQUEST }),
    rule({ topic: '$iothub/twin/GET/{bag...}', type: `${TYPE}.twin.get`, ...REQUEST }),
    rule({
      topic: '$iothub/methods/res/{status}/{bag...}',
      type: `${TYPE}.method.response`,
      ...REQUEST,
      extensions: { ...REQUEST.extensions, status: '{status}' }
    }),
    dropped('devices/+/messages/devicebound/#'),
    dropped('$iothub/twin/#'),
    dropped('$iothub/methods/#')
  ],
  reserved: {
    publish: ['$iothub/twin/#', '$iothub/methods/#'],
    subscribe: ['$iothub/twin/#', '$iothub/methods/#']
  }
}
