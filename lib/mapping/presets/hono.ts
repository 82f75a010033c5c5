/**
 * Eclipse Hono, MQTT adapter: https://eclipse.dev/hono/docs/user-guide/mqtt-adapter/
 *
 * Each topic has a short form, and a property bag may follow it. Tenant and device stand in the topic, or are those of
 * the user name `auth-id@tenant`.
 */
import type { EventRule } from '../event-rules.ts'
import { dropped, rule, type Preset } from './preset.ts'

const TYPE = 'dev.mqttbrokersource.hono'
const PROPERTIES = { from: '{bag}', extensions: false }

/** Placeholders of a tenant and a device as one kind of topic has them. */
function of (tenant: string, device: string): Pick<EventRule, 'source' | 'subject' | 'extensions'> {
  return {
    source: `/hono/tenants/${tenant}/devices/${device}`, subject: device, extensions: { tenantid: tenant, deviceid: device }
  }
}

const OF_USER = of('{username.realm}', '{username.user}')
const OF_GATEWAY = of('{username.realm}', '{device}')
const OF_TOPIC = of('{tenant}', '{device}')

function messages (name: string, kind: string, more: EventRule['extensions']): EventRule[] {
  return ([
    [`${name}/{?bag}`, OF_USER], [`${name}//{device}/{?bag}`, OF_GATEWAY], [`${name}/{tenant}/{device}/{?bag}`, OF_TOPIC]
  ] as const).map(([topic, origin]) => rule({
    topic,
    type: `${TYPE}.${kind}`,
    ...origin,
    contentType: '{property.content-type}',
    properties: PROPERTIES,
    extensions: { ...origin.extensions, ...more, correlationid: '{property.correlation-id}' }
  }))
}

function responses (command: string, response: string): EventRule[] {
  const end = `${response}/{request}/{status}/{?bag}`
  return ([
    [`${command}///${end}`, OF_USER], [`${command}//{device}/${end}`, OF_GATEWAY], [`${command}/{tenant}/{device}/${end}`, OF_TOPIC]
  ] as const).map(([topic, origin]) => rule({
    topic,
    type: `${TYPE}.command.response`,
    ...origin,
    contentType: '{property.content-type}',
    properties: PROPERTIES,
    extensions: {
      ...origin.extensions, requestid: '{request}', status: '{status}', correlationid: '{property.correlation-id}'
    }
  }))
}

const TTL = { honottl: '{property.hono-ttl}' }

export const hono: Preset = {
  rules: [
    ...messages('telemetry', 'telemetry', {}),
    ...messages('t', 'telemetry', {}),
    ...messages('event', 'event', TTL),
    ...messages('e', 'event', TTL),
    ...responses('command', 'res'),
    ...responses('c', 's'),
    dropped('command/+/+/req/#'),
    dropped('c/+/+/q/#')
  ]
}
