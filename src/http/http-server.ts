import type { AddressInfo } from 'node:net'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fastify from 'fastify'
import { EXPOSITION_CONTENT_TYPE, Exposition } from '../metrics/exposition.ts'
import type { Metrics } from '../metrics/metrics.ts'
import type { ApiParts } from './api.ts'
import { serveApi } from './api.ts'
import type { Health } from './health.ts'
import { formatChecks } from './health.ts'
import type { TestControls } from './test-controls.ts'
import { serveTestControls } from './test-controls.ts'

const HEADER_BYTES_MAX = 8 * 1024
const BODY_BYTES_MAX = 1024 * 1024
/** Of one part of a path, as it is written: names of topics and groups fit, with every character escaped. */
const PARAMETER_CHARACTERS_MAX = 4096
const HEADERS_TIMEOUT_MS = 10_000
const REQUEST_TIMEOUT_MS = 30_000
/** A client that has not read anything of an answer for so long is gone; no answer is that long in coming. */
const STALL_TIMEOUT_MS = 60_000
const KEEP_ALIVE_TIMEOUT_MS = 5_000
/** How often Node looks for requests that have passed these timeouts. */
const TIMEOUTS_INTERVAL_MS = 2_000

/** The HTTP door: health for orchestrators, metrics for Prometheus, the API for everyone. */
export class HttpServer {
  readonly #app: FastifyInstance

  private constructor(app: FastifyInstance) {
    this.#app = app
  }

  /**
   * Starts listening. Without a host on all interfaces, with port 0 on any free port.
   *
   * @throws the system's error (EADDRINUSE, EACCES, EADDRNOTAVAIL)
   */
  static async listen(options: {
    readonly address: { readonly host: string | undefined; readonly port: number }
    readonly health: Health
    readonly metrics: Metrics
    /** Scrapers, orchestrators and a few people; more are closed at once. */
    readonly connectionsMax: number
    readonly api?: ApiParts | undefined
    /** Of a broker inside a test. */
    readonly testControls?: TestControls | undefined
  }): Promise<HttpServer> {
    let exposition: Promise<Exposition> | undefined
    const getExposition = () => (exposition ??= Exposition.start(options.metrics))
    const app = createApp(options.health, getExposition, options)
    app.server.maxConnections = options.connectionsMax
    await app.ready()
    // By Node's own means: without a host they take IPv6 and IPv4, or IPv4 alone where there is no IPv6.
    const { host, port } = options.address
    await new Promise<void>((resolve, reject) => {
      app.server.once('error', reject)
      app.server.listen(host === undefined ? { port } : { port, host }, () => {
        app.server.off('error', reject)
        resolve()
      })
    })
    // Not before: health must not wait for it.
    await getExposition()
    return new HttpServer(app)
  }

  get address(): { host: string; port: number } {
    const bound = this.#app.server.address() as AddressInfo
    return { host: bound.address, port: bound.port }
  }

  /** Stops accepting, lets requests finish, and closes every connection. */
  async close(): Promise<void> {
    await this.#app.close()
  }

  /** Cuts off whoever is left. */
  destroyConnections(): void {
    this.#app.server.closeAllConnections()
  }
}

function createApp(
  health: Health,
  getExposition: () => Promise<Exposition>,
  { api, testControls }: { readonly api?: ApiParts | undefined; readonly testControls?: TestControls | undefined },
): FastifyInstance {
  const app = fastify({
    logger: false,
    bodyLimit: BODY_BYTES_MAX,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    connectionTimeout: STALL_TIMEOUT_MS,
    forceCloseConnections: 'idle',
    frameworkErrors: refuseAddress,
    routerOptions: { maxParamLength: PARAMETER_CHARACTERS_MAX },
    http: {
      maxHeaderSize: HEADER_BYTES_MAX,
      headersTimeout: HEADERS_TIMEOUT_MS,
      connectionsCheckingInterval: TIMEOUTS_INTERVAL_MS,
    },
  })

  app.addHook('onSend', async (_request, reply) => {
    reply.header('x-content-type-options', 'nosniff').header('cache-control', 'no-store')
  })

  app.get('/livez', async (request, reply) => {
    if (isVerbose(request)) return sendText(reply, '[+]event loop ok\nlivez check passed\n')
    return { status: 'ok' }
  })

  app.get('/healthz', async (_request, reply) => {
    if (health.isDraining) reply.code(503)
    return health.report()
  })

  app.get('/readyz', async (request, reply) => {
    const checks = health.checks()
    const isReady = checks.every((check) => check.ok)
    if (!isReady) reply.code(503)
    if (isVerbose(request)) {
      return sendText(reply, `${formatChecks(checks)}\nreadyz check ${isReady ? 'passed' : 'failed'}\n`)
    }
    return { status: isReady ? 'ready' : 'not_ready', checks }
  })

  app.get('/metrics', async (_request, reply) => {
    const text = await (await getExposition()).write()
    return reply.header('content-type', EXPOSITION_CONTENT_TYPE).send(text)
  })

  if (api !== undefined) serveApi(app, api)
  if (testControls !== undefined) serveTestControls(app, testControls)
  refuseTheRest(app)
  return app
}

function isVerbose(request: FastifyRequest): boolean {
  return new URLSearchParams(request.url.split('?')[1]).has('verbose')
}

function sendText(reply: FastifyReply, text: string): FastifyReply {
  return reply.header('content-type', 'text/plain; charset=utf-8').send(text)
}

/** A path that cannot be read has no route. */
function refuseAddress(error: FastifyError, _request: FastifyRequest, reply: FastifyReply): void {
  void reply.code(400).send(refusal('INVALID_REQUEST', `Cannot take the request: ${error.message}`))
}

/** Everything that is not a route, and everything that goes wrong in one, is answered in the same shape. */
function refuseTheRest(app: FastifyInstance): void {
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?')[0]
    if (app.hasRoute({ method: 'GET', url: path })) {
      reply.code(405).header('allow', 'GET, HEAD')
      return refusal('METHOD_NOT_ALLOWED', `Cannot ${request.method} ${path}: only GET and HEAD are served there`)
    }
    reply.code(404)
    return refusal(
      'NOT_FOUND',
      `Cannot find ${JSON.stringify(path.slice(0, 200))}: see /healthz, /readyz, /metrics and /api/v1`,
    )
  })
  app.setErrorHandler<FastifyError>((error, _request, reply) => {
    const status = error.statusCode ?? 500
    reply.code(status)
    if (status >= 500) return refusal('INTERNAL_ERROR', 'The broker made a mistake')
    return refusal(error.code, error.message)
  })
}

function refusal(code: string, message: string): { error: { code: string; message: string } } {
  return { error: { code, message } }
}
