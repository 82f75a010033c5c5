/** The settings of traces. A part of schema.ts; the rules about them are in rules-tracing.ts. */
import { headersSetting, SINK_URL } from './schema-sink.ts'
import { decimal, duration, section, text } from './setting.ts'
import { Type } from './type.ts'

export const tracingSection = section('Traces by OpenTelemetry, from a publish to its delivery: docs/tracing.md.', {
  enabled: Type.Boolean({
    description: 'Whether traces are made and sent.',
    computed: 'true as soon as `endpoint` is known',
    knative: 'K_OBSERVABILITY_CONFIG',
    example: true
  }),
  endpoint: Type.Optional(text({
    description: 'Where to POST the spans: a receiver of OTLP over HTTP, such as an OpenTelemetry Collector. Without a path, `/v1/traces`.',
    knative: 'K_OBSERVABILITY_CONFIG',
    allowed: SINK_URL,
    example: 'http://localhost:4318/v1/traces'
  })),
  samplingRate: decimal({
    description: 'The share of traces that are recorded, of those that begin here. Of one that a device has begun, its own decision is followed.',
    knative: 'K_OBSERVABILITY_CONFIG',
    default: 1,
    minimum: 0,
    maximum: 1
  }),
  headers: headersSetting(
    'Headers that are sent with the spans, by name: a text, or `{ file: path }` for what is in a file, which is read again when it changes.',
    'names of headers that HTTP does not need itself'
  ),
  serviceName: text({
    description: 'What this program is called in traces: `service.name`. `name` is its `service.instance.id`.',
    default: 'mqtt-broker-source',
    maxLength: 255,
    allowed: 'a text of up to 255 characters'
  }),
  timeout: duration({
    description: 'Time for one request with spans, and at shutdown for all that are left.', default: 'PT5S', minimumMs: 10, maximumMs: 60_000
  })
})
