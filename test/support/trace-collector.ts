import { createServer } from 'node:http'
import type { IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gunzipSync } from 'node:zlib'

/** A span as a collector gets it by OTLP, in JSON. */
export interface CollectedSpan {
  readonly service: string
  readonly name: string
  readonly kind: number
  readonly traceId: string
  readonly spanId: string
  /** Empty for the first span of a trace. */
  readonly parentSpanId: string
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[]
  readonly attributes: Readonly<Record<string, string | number>>
  /** 2 is an error. */
  readonly statusCode: number
  readonly startNs: bigint
  readonly endNs: bigint
}

interface WireAttribute {
  readonly key: string
  readonly value: { readonly stringValue?: string; readonly intValue?: string | number; readonly doubleValue?: number }
}
interface WireSpan {
  readonly name: string
  readonly kind: number
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly links?: readonly { readonly traceId: string; readonly spanId: string }[]
  readonly attributes: readonly WireAttribute[]
  readonly status?: { readonly code?: number }
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
}
interface WireExport {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly WireAttribute[] }
    readonly scopeSpans: readonly { readonly spans: readonly WireSpan[] }[]
  }[]
}

/** How a collector deals with what it gets: takes it, refuses it, or never answers. */
export type Manner = 'take' | 'refuse' | 'hang'

/** A small collector of OTLP over HTTP. It understands JSON, and keeps other bodies as they are. */
export class TraceCollector {
  manner: Manner = 'take'
  readonly spans: CollectedSpan[] = []
  /** Of bodies that are not JSON. */
  readonly bodies: Buffer[] = []
  readonly headers: IncomingMessage['headers'][] = []
  requestCount = 0
  readonly #server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      this.requestCount++
      if (this.manner === 'hang') return
      if (this.manner === 'refuse') return void response.writeHead(400).end()
      const isPacked = request.headers['content-encoding'] === 'gzip'
      this.#take(isPacked ? gunzipSync(Buffer.concat(chunks)) : Buffer.concat(chunks), request)
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
    })
  })

  static async start(): Promise<TraceCollector> {
    const collector = new TraceCollector()
    await new Promise<void>((resolve) => {
      collector.#server.listen(0, '127.0.0.1', resolve)
    })
    return collector
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => {
      this.#server.close(resolve)
    })
  }

  /** Those of a trace, by their names. */
  ofTrace(traceId: string): Map<string, CollectedSpan> {
    return new Map(this.spans.filter((span) => span.traceId === traceId).map((span) => [span.name, span]))
  }

  #take(body: Buffer, request: IncomingMessage): void {
    this.headers.push(request.headers)
    if (request.url !== '/v1/traces') return
    if (request.headers['content-type'] !== 'application/json') return void this.bodies.push(body)
    const { resourceSpans } = JSON.parse(body.toString()) as WireExport
    for (const { resource, scopeSpans } of resourceSpans) {
      const service = String(valuesOf(resource.attributes)['service.name'])
      for (const { spans } of scopeSpans) this.spans.push(...spans.map((span) => toCollected(service, span)))
    }
  }
}

function toCollected(service: string, span: WireSpan): CollectedSpan {
  const { name, kind, traceId, spanId, parentSpanId = '', links = [] } = span
  return {
    service,
    name,
    kind,
    traceId,
    spanId,
    parentSpanId,
    links,
    attributes: valuesOf(span.attributes),
    statusCode: span.status?.code ?? 0,
    startNs: BigInt(span.startTimeUnixNano),
    endNs: BigInt(span.endTimeUnixNano),
  }
}

function valuesOf(attributes: readonly WireAttribute[]): Record<string, string | number> {
  return Object.fromEntries(
    attributes.map(({ key, value: { stringValue, intValue, doubleValue } }) => [
      key,
      stringValue ?? (intValue === undefined ? (doubleValue ?? '') : Number(intValue)),
    ]),
  )
}
