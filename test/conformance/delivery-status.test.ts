/** Knative's table of status codes: knative/specs, specs/eventing/data-plane.md, event acknowledgement and retry. */
import { test } from 'tap'
import { classify, type Verdict } from '../../lib/delivery/classify.ts'
import { answer } from '../support/delivery-sink.ts'

/** The codes that the table names, and the ranges between them. */
function expected (status: number): Verdict {
  if ([404, 408, 409, 429].includes(status)) return 'retry'
  if (status >= 100 && status <= 199) return 'refused'
  if (status >= 200 && status <= 299) return 'delivered'
  if (status >= 300 && status <= 399) return 'refused'
  if (status >= 400 && status <= 499) return 'refused'
  return 'retry'
}

void test('every status from 100 to 599 is judged by the table', async (t) => {
  const wrong: string[] = []
  for (let status = 100; status <= 599; status++) {
    const verdict = classify(answer(status))
    if (verdict !== expected(status)) wrong.push(`${status}: ${verdict}`)
  }
  t.same(wrong, [])
})

void test('the codes that the table names one by one', async (t) => {
  const table: ReadonlyArray<readonly [number, Verdict]> = [
    [101, 'refused'], [200, 'delivered'], [202, 'delivered'], [204, 'delivered'], [299, 'delivered'], [301, 'refused'],
    [307, 'refused'], [400, 'refused'], [401, 'refused'], [403, 'refused'], [404, 'retry'], [405, 'refused'],
    [408, 'retry'], [409, 'retry'], [410, 'refused'], [413, 'refused'], [415, 'refused'], [422, 'refused'],
    [429, 'retry'], [499, 'refused'], [500, 'retry'], [501, 'retry'], [502, 'retry'], [503, 'retry'], [504, 'retry'],
    [599, 'retry']
  ]
  for (const [status, verdict] of table) t.equal(classify(answer(status)), verdict, String(status))
})

void test('a code that is not in the table is tried again', async (t) => {
  for (const status of [-1, 0, 42, 99, 600, 999, NaN]) t.equal(classify(answer(status)), 'retry', String(status))
})

void test('no answer is tried again; what we gave up ourselves says nothing', async (t) => {
  t.equal(classify({ kind: 'network', code: 'ECONNREFUSED', reason: 'refused', timedOut: false }), 'retry')
  t.equal(classify({ kind: 'network', code: 'UND_ERR_HEADERS_TIMEOUT', reason: 'late', timedOut: true }), 'retry')
  t.equal(classify({ kind: 'aborted' }), 'aborted')
})
