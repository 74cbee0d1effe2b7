/** How spans are sent, over HTTP. */
export type TracingProtocol = 'http/protobuf' | 'http/json'

/** What the environment says about tracing. */
export type TracingSettings =
  | { readonly kind: 'off' }
  | { readonly kind: 'on'; readonly protocol: TracingProtocol }
  /** It is wanted and cannot be had; `fault` is a sentence. */
  | { readonly kind: 'refused'; readonly fault: string }

type Environment = Readonly<Record<string, string | undefined>>

/** One of the variables of OpenTelemetry: what the documentation says about it. */
export interface TracingVariable {
  readonly variable: string
  readonly default: string
  readonly range: string
  readonly meaning: string
}

/** The variables that people set. All others of OpenTelemetry's SDK for traces are honoured too. */
export const TRACING_VARIABLES: readonly TracingVariable[] = [
  {
    variable: 'OTEL_EXPORTER_OTLP_ENDPOINT',
    default: 'http://localhost:4318',
    range: 'a URL, to which /v1/traces is added',
    meaning: 'Turns tracing on. Where the collector is; OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is the whole URL',
  },
  {
    variable: 'OTEL_TRACES_EXPORTER',
    default: 'otlp with an endpoint, else none',
    range: 'otlp or none',
    meaning: 'otlp turns tracing on with the default endpoint, none turns it off',
  },
  {
    variable: 'OTEL_SDK_DISABLED',
    default: 'false',
    range: 'true or false',
    meaning: 'true turns tracing off, whatever else is set',
  },
  {
    variable: 'OTEL_EXPORTER_OTLP_PROTOCOL',
    default: 'http/protobuf',
    range: 'http/protobuf or http/json',
    meaning: 'How spans are sent; OTEL_EXPORTER_OTLP_TRACES_PROTOCOL counts first. gRPC is not spoken',
  },
  {
    variable: 'OTEL_SERVICE_NAME',
    default: 'cafelog',
    range: 'a name',
    meaning: 'What the broker is called in traces; OTEL_RESOURCE_ATTRIBUTES has more facts about it',
  },
  {
    variable: 'OTEL_TRACES_SAMPLER',
    default: 'parentbased_always_on',
    range: 'always_on, always_off, traceidratio, or one of these with parentbased_ before it',
    meaning: 'Which traces are recorded; with a ratio OTEL_TRACES_SAMPLER_ARG is the share, from 0 to 1',
  },
  {
    variable: 'OTEL_EXPORTER_OTLP_HEADERS',
    default: 'none',
    range: 'name=value, with commas between them',
    meaning: 'Sent with every request to the collector, such as a key; never logged',
  },
  {
    variable: 'OTEL_BSP_MAX_QUEUE_SIZE',
    default: '2048',
    range: 'a whole number',
    meaning: 'Spans that wait to be sent; more are dropped',
  },
  {
    variable: 'OTEL_BSP_SCHEDULE_DELAY',
    default: '5000',
    range: 'milliseconds',
    meaning: 'How often spans are sent, unless 512 are there before (OTEL_BSP_MAX_EXPORT_BATCH_SIZE)',
  },
]

const PROTOCOLS: readonly TracingProtocol[] = ['http/protobuf', 'http/json']

/** Whether tracing is wanted, by the standard variables of OpenTelemetry. One that is empty counts as not set. */
export function parseTracingSettings(environment: Environment): TracingSettings {
  const valueOf = (...names: readonly string[]) =>
    names.map((name) => environment[name]?.trim()).find((value) => value !== undefined && value !== '')
  if (valueOf('OTEL_SDK_DISABLED')?.toLowerCase() === 'true') return { kind: 'off' }
  const endpoint = valueOf('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'OTEL_EXPORTER_OTLP_ENDPOINT')
  const exporter = valueOf('OTEL_TRACES_EXPORTER')?.toLowerCase()
  if (exporter === 'none' || (exporter === undefined && endpoint === undefined)) return { kind: 'off' }
  if (exporter !== undefined && exporter !== 'otlp') return refuse('OTEL_TRACES_EXPORTER', exporter, 'otlp or none')
  if (endpoint !== undefined && !/^https?:$/.test(protocolOf(endpoint))) {
    return refuse(
      'OTEL_EXPORTER_OTLP_ENDPOINT',
      withoutPassword(endpoint),
      'a URL that begins with http:// or https://',
    )
  }
  const wanted = valueOf('OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', 'OTEL_EXPORTER_OTLP_PROTOCOL') ?? 'http/protobuf'
  const protocol = PROTOCOLS.find((each) => each === wanted.toLowerCase())
  if (protocol === undefined) return refuse('OTEL_EXPORTER_OTLP_PROTOCOL', wanted, PROTOCOLS.join(' or '))
  return { kind: 'on', protocol }
}

function refuse(name: string, value: string, right: string): TracingSettings {
  return { kind: 'refused', fault: `Cannot trace with ${name}=${JSON.stringify(value)}: it must be ${right}` }
}

function withoutPassword(url: string): string {
  return url.replace(/[^/]*@/, '')
}

function protocolOf(url: string): string {
  return URL.canParse(url) ? new URL(url).protocol : ''
}
