import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/logger.ts'
import type { Metrics } from '../metrics/metrics.ts'
import type { ApiAccess } from './api-access.ts'
import { parseApiBody } from './api-body.ts'
import { ApiRefusal, toApiError } from './api-errors.ts'
import { ApiFields } from './api-fields.ts'
import { RouteMeter } from './api-meters.ts'
import type { ApiAnswer, ApiCall, ApiRoute } from './api-route.ts'
import { createApiRoutes } from './api-routes.ts'

export const API_PREFIX = '/api/v1'
/** What a body may have, unless its route says more. */
export const BODY_BYTES_MAX = 1024 * 1024
/** What the bodies of all requests that are under way may have together. */
export const BODIES_BYTES_MAX = 64 * 1024 * 1024
/** A body that is refused for its length is read to its end, unless it is longer than this. */
const SKIPPED_BYTES_MAX = 64 * 1024 * 1024
const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const
const METHODS_WITH_BODY: readonly string[] = ['POST', 'PUT', 'PATCH']
const JSON_TYPE = /^application\/json\s*(?:;|$)/i
const JSON_ANSWER = 'application/json; charset=utf-8'
const NO_BYTES = Buffer.alloc(0)

/** What the API is served with. */
export interface ApiParts {
  readonly access: ApiAccess
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: Metrics
}

/** Serves the API. docs/http-api.md lists what there is. */
export function serveApi(app: FastifyInstance, parts: ApiParts): void {
  void app.register(
    async (scope) => {
      new ApiServer(scope, parts).serve(createApiRoutes())
    },
    { prefix: API_PREFIX },
  )
}

/** A request that is under way. */
interface Running {
  readonly startedAtMs: number
  reservedBytes: number
  meter: RouteMeter
  isChange: boolean
}

class ApiServer {
  readonly #app: FastifyInstance
  readonly #parts: ApiParts
  readonly #other: RouteMeter
  readonly #running = new WeakMap<FastifyRequest, Running>()
  #bodyBytes = 0

  constructor(app: FastifyInstance, parts: ApiParts) {
    this.#app = app
    this.#parts = parts
    this.#other = new RouteMeter(parts.metrics, { operation: 'other', endpoint: 'admin' })
  }

  serve(routes: readonly ApiRoute[]): void {
    const app = this.#app
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
    app.addHook('onRequest', async (request) => {
      this.#begin(request)
      this.#parts.access.check(request.headers)
    })
    app.addHook('preParsing', async (request) => this.#checkBody(request))
    app.addHook('onResponse', async (request) => this.#end(request))
    app.addHook('onRequestAbort', async (request) => this.#end(request))
    app.setErrorHandler<FastifyError>((error, request, reply) => this.#fail(error, request, reply))
    app.setNotFoundHandler((request, reply) => {
      const path = JSON.stringify(pathOf(request).slice(0, 200))
      this.#fail(
        new ApiRefusal(404, 'NOT_FOUND', `Cannot find ${path}: docs/http-api.md lists what there is`),
        request,
        reply,
      )
    })
    for (const route of routes) this.#serveRoute(route)
    const paths = new Set(routes.map(({ path }) => path))
    for (const path of paths) this.#refuseOtherMethods(path, routes)
  }

  #serveRoute(route: ApiRoute): void {
    const meter = new RouteMeter(this.#parts.metrics, route)
    const isChange = route.method !== 'GET'
    this.#app.route({
      method: route.method,
      url: route.path,
      bodyLimit: route.bodyBytesMax ?? BODY_BYTES_MAX,
      onRequest: async (request) => {
        const running = this.#running.get(request)
        if (running === undefined) return
        running.meter = meter
        running.isChange = isChange
      },
      handler: async (request, reply) => {
        const { access } = this.#parts
        const broker = access.enter()
        try {
          return this.#answer(request, reply, await route.handle(callOf(route, request, broker)))
        } finally {
          access.leave()
        }
      },
    })
  }

  #refuseOtherMethods(path: string, routes: readonly ApiRoute[]): void {
    const served: string[] = routes.filter((route) => route.path === path).map(({ method }) => method)
    const allowed = served.includes('GET') ? [...served, 'HEAD'] : served
    this.#app.route({
      method: METHODS.filter((method) => !served.includes(method)),
      url: path,
      onRequest: async ({ method, url }) => {
        const shown = JSON.stringify(url.slice(0, 200))
        throw new ApiRefusal(
          405,
          'METHOD_NOT_ALLOWED',
          `Cannot ${method} ${shown}: ${allowed.join(', ')} are served there`,
          {
            allow: allowed.join(', '),
          },
        )
      },
      handler: async () => {},
    })
  }

  #begin(request: FastifyRequest): void {
    const startedAtMs = this.#parts.clock.monotonic()
    this.#running.set(request, { startedAtMs, reservedBytes: 0, meter: this.#other, isChange: false })
  }

  /** The request is over, however that came about. */
  #end(request: FastifyRequest): void {
    const running = this.#running.get(request)
    if (running === undefined) return
    this.#bodyBytes -= running.reservedBytes
    running.reservedBytes = 0
  }

  /** Before anything of the body is read. */
  #checkBody(request: FastifyRequest): void {
    const { headers, method, routeOptions } = request
    if (METHODS_WITH_BODY.includes(method) && !JSON_TYPE.test(headers['content-type'] ?? '')) {
      const given =
        headers['content-type'] === undefined
          ? 'without a content type'
          : `with content type ${JSON.stringify(headers['content-type'].slice(0, 80))}`
      throw new ApiRefusal(415, 'INVALID_REQUEST', `Cannot take a ${method} ${given}: application/json is needed`)
    }
    const running = this.#running.get(request)
    if (running === undefined) return
    const declared = Number(headers['content-length'] ?? 0)
    // A body in chunks does not say how long it will be.
    const bytes = headers['transfer-encoding'] === undefined ? declared : routeOptions.bodyLimit
    // What is too long is refused before it is read.
    if (bytes === 0 || bytes > routeOptions.bodyLimit) return
    if (this.#bodyBytes + bytes > BODIES_BYTES_MAX) {
      this.#parts.metrics.throttled.child('memory').add(1)
      throw new ApiRefusal(
        503,
        'INTERNAL_IO_ERROR',
        'Cannot take the request: too many others have not come to their end, try again',
        {
          'retry-after': '1',
        },
      )
    }
    this.#bodyBytes += bytes
    running.reservedBytes = bytes
  }

  #answer(request: FastifyRequest, reply: FastifyReply, { status = 200, body }: ApiAnswer): FastifyReply {
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    const running = this.#running.get(request)
    running?.meter.countOk(this.#parts.clock.monotonic() - running.startedAtMs)
    return this.#send(request, reply, status, text)
  }

  #fail(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
    const running = this.#running.get(request)
    const { status, code, headers, body } = toApiError(ofFastify(error, request), running?.isChange ?? false)
    if (status === 500) {
      const { method, routeOptions } = request
      this.#parts.logger.error({ error, method, path: routeOptions.url }, 'a request over HTTP could not be served')
    }
    running?.meter.countError(status, code, this.#parts.clock.monotonic() - running.startedAtMs)
    reply.headers(headers)
    // Who is still sending a body would find the connection reset, and never read why.
    if (Number(request.headers['content-length'] ?? Infinity) <= SKIPPED_BYTES_MAX) reply.removeHeader('connection')
    this.#send(request, reply, status, JSON.stringify(body))
  }

  #send(request: FastifyRequest, reply: FastifyReply, status: number, text: string): FastifyReply {
    this.#running.get(request)?.meter.countBytes(bytesOf(request).length, Buffer.byteLength(text))
    return reply.code(status).header('content-type', JSON_ANSWER).send(text)
  }
}

function callOf({ action }: ApiRoute, request: FastifyRequest, broker: ApiCall['broker']): ApiCall {
  const bytes = bytesOf(request)
  return {
    broker,
    params: request.params as Readonly<Record<string, string>>,
    headers: request.headers,
    bytes,
    body: (known) => new ApiFields({ action, values: parseApiBody(action, bytes), known }),
    query: (known) => new ApiFields({ action, values: readQuery(request), known, areTexts: true }),
  }
}

function bytesOf({ body }: FastifyRequest): Buffer {
  return Buffer.isBuffer(body) ? body : NO_BYTES
}

/** Of a field that is there twice, the last one counts. */
function readQuery({ url }: FastifyRequest): Readonly<Record<string, string>> {
  const values = Object.create(null) as Record<string, string>
  const at = url.indexOf('?')
  if (at < 0) return values
  for (const [name, value] of new URLSearchParams(url.slice(at + 1))) values[name] = value
  return values
}

function pathOf({ url }: FastifyRequest): string {
  const at = url.indexOf('?')
  return at < 0 ? url : url.slice(0, at)
}

/** What HTTP's own library refuses, in our words. */
function ofFastify(error: unknown, { routeOptions }: FastifyRequest): unknown {
  const { code, statusCode, message } = error as Partial<FastifyError>
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    return new ApiRefusal(
      413,
      'INVALID_REQUEST',
      `Cannot take a body of more than ${routeOptions.bodyLimit} bytes: send several requests`,
    )
  }
  if (code === undefined || !code.startsWith('FST_') || statusCode === undefined || statusCode >= 500) return error
  return new ApiRefusal(statusCode, 'INVALID_REQUEST', `Cannot take the request: ${message}`)
}
