/**
 * The ceiling for delivery: undici's pool posting the same event over and over, with no broker and nothing stored.
 * Started as a child: argv port, requests in all, connections, payload bytes. Reports over IPC and ends itself.
 */
import { Pool } from 'undici'

const [port, total, connections, payloadBytes] = process.argv.slice(2).map(Number) as [number, number, number, number]
const pool = new Pool(`http://127.0.0.1:${port}`, { connections, pipelining: 1 })
const body = Buffer.from(JSON.stringify({ device: 'bench-1', value: 74.12, fill: '' }).padEnd(payloadBytes, ' '))
const headers = [
  'ce-specversion', '1.0', 'ce-id', '6dd1bbc8-5b0e-4a3f-8c6b-0a3c1c1d2f10',
  'ce-source', '/mqtt-broker-source/mqtt-broker-source/clients/bench-1', 'ce-type', 'dev.mqttbrokersource.publish',
  'ce-subject', 'sites/a/devices/bench-1/telemetry', 'ce-time', '2026-01-01T00:00:00.000Z',
  'ce-partitionkey', 'bench-1', 'ce-mqttqos', '1', 'content-type', 'application/json'
]
let sent = 0
let done = 0
const started = process.hrtime.bigint()
const cpu = process.cpuUsage()

function next (): void {
  if (sent >= total) return
  sent++
  pool.dispatch({ origin: `http://127.0.0.1:${port}`, path: '/', method: 'POST', headers, body }, {
    onRequestStart () {},
    onResponseStart () {},
    onResponseData () {},
    onResponseEnd () { settle() },
    onResponseError () { settle() }
  })
}

function settle (): void {
  done++
  if (done < total) {
    next()
    return
  }
  const seconds = Number(process.hrtime.bigint() - started) / 1e9
  const used = process.cpuUsage(cpu)
  process.send?.({ done, seconds, cpuMicros: (used.user + used.system) / done })
  process.disconnect?.()
  void pool.destroy().then(() => { process.exit(0) })
}

for (let i = 0; i < connections; i++) next()
