import { test } from 'tap'
import { faultOf, type Phase } from '../../../lib/selftest/faults.ts'

const place = { url: 'mqtt://broker:1883', topic: 'a/b' }
const at = (phase: Phase) => ({ ...place, phase })
const coded = (message: string, code: string | number) => Object.assign(new Error(message), { code })

test('each return code of CONNACK is told in words [MQTT-3.2.2.3]', async (t) => {
  for (const [code, words] of [[1, /3\.1\.1/], [2, /client identifier/], [3, /at the moment/], [4, /password/], [5, /may not connect/]] as const) {
    const error = faultOf({ kind: 'mqtt', error: coded('Connection refused', code) }, at('connack'))
    t.match(error, { code: 'MBS_ERR_SELFTEST_REFUSED', message: words })
  }
})

test('what MQTT does not know is no refusal', async (t) => {
  t.match(faultOf({ kind: 'mqtt', error: coded('duplicate CONNACK', 130) }, at('suback')),
    { code: 'MBS_ERR_SELFTEST_PROTOCOL', message: /duplicate CONNACK\.$/ })
  t.match(faultOf({ kind: 'mqtt', error: coded('a five', 5) }, at('puback')).code, 'MBS_ERR_SELFTEST_PROTOCOL')
})

test('a transport that fails is no connection before the session, and a connection that broke after', async (t) => {
  const reset = { kind: 'transport', error: coded('read ECONNRESET', 'ECONNRESET') } as const
  t.match(faultOf(reset, at('connack')), { code: 'MBS_ERR_SELFTEST_CONNECT', message: /mqtt:\/\/broker:1883: read ECONNRESET\.$/ })
  t.match(faultOf(reset, at('message')), { code: 'MBS_ERR_SELFTEST_CLOSED', message: /before the message came back/, cause: reset.error })
  const both = new AggregateError([new Error('connect ECONNREFUSED ::1:1883'), new Error('connect ECONNREFUSED 127.0.0.1:1883')])
  t.match(faultOf({ kind: 'transport', error: both }, at('connack')).message, /::1:1883; connect ECONNREFUSED 127/)
})

test('where a connection was closed says what was meant: instead of PUBACK it is the publish that was not liked', async (t) => {
  t.match(faultOf({ kind: 'closed' }, at('connack')), { code: 'MBS_ERR_SELFTEST_CLOSED', message: /before the session/ })
  t.match(faultOf({ kind: 'closed' }, at('suback')), { code: 'MBS_ERR_SELFTEST_CLOSED', message: /before the subscription/ })
  t.match(faultOf({ kind: 'closed' }, at('puback')), { code: 'MBS_ERR_SELFTEST_PUBLISH', message: /publish to a\/b/ })
})
