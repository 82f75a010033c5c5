/** Events and publishes to test with. */
import type { Event, Publish } from '../../lib/message.ts'

/** An event as the default rule makes it, but for what is given. */
export function event (given: Partial<Event> = {}): Event {
  return {
    id: '01',
    source: '/mqtt-broker-source/gw/clients/c1',
    type: 'dev.mqttbrokersource.publish',
    subject: 'sensors/temperature',
    time: '2023-11-14T22:13:20.123Z',
    datacontenttype: 'application/json',
    extensions: { partitionkey: 'c1', mqttqos: 1 },
    partitionKey: 'c1',
    data: Buffer.from('{"a":74.12}'),
    ...given
  }
}

/** The same without a content type. */
export function untyped (given: Partial<Event> = {}): Event {
  const { datacontenttype: _, ...rest } = event(given)
  return rest
}

/** A publish of client c1, but for what is given. */
export function publish (given: Partial<Publish> = {}): Publish {
  return {
    client: { id: 'c1' },
    topic: 'sensors/temperature',
    payload: Buffer.from('74.12'),
    qos: 1,
    retain: false,
    dup: false,
    will: false,
    receivedAt: Date.parse('2023-11-14T22:13:20.123Z'),
    ...given
  }
}
