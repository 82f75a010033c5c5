import { test } from 'tap'
import { parseSinkUrl } from '../../../lib/sink/sink-url.ts'

test('a URL is taken apart with its path and query exactly', async (t) => {
  t.same(parseSinkUrl('http://broker-ingress.knative-eventing.svc.cluster.local/default/my-broker?a=b%20c&d'), {
    origin: 'http://broker-ingress.knative-eventing.svc.cluster.local',
    path: '/default/my-broker?a=b%20c&d',
    shown: 'http://broker-ingress.knative-eventing.svc.cluster.local/default/my-broker'
  })
  t.same(parseSinkUrl('https://[::1]:8443'), { origin: 'https://[::1]:8443', path: '/', shown: 'https://[::1]:8443/' })
})

test('what is no address of an HTTP sink is refused', async (t) => {
  for (const url of ['', 'sink', '/path', 'ftp://host/', 'file:///x', 'http://', 'http://host:99999/', 'http://h/#part']) {
    t.throws(() => parseSinkUrl(url), { code: 'MBS_ERR_SINK_URL' }, url)
  }
})

test('credentials in a URL are refused and not repeated in the error', async (t) => {
  for (const url of ['http://user:hunter2@host/', 'https://hunter2@host/']) {
    t.throws(() => parseSinkUrl(url), { code: 'MBS_ERR_SINK_URL', message: /user name or a password/ })
    try { parseSinkUrl(url) } catch (error) { t.notMatch(String((error as Error).message), 'hunter2') }
  }
})
