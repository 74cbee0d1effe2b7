import type { FastifyInstance } from 'fastify'
import { BrokerError } from '../base/broker-error.ts'

/** What a broker inside a test lets be done with it. docs/embedded.md lists the requests. */
export interface TestControls {
  now(): number
  /** @throws RangeError */
  advance(duration: string | number): Promise<void>
  /** @throws BrokerError */
  addFault(fault: Readonly<Record<string, unknown>>): void
  clearFaults(): void
  dropConnections(): void
  /** @throws BrokerError */
  createTopic(topic: Readonly<Record<string, unknown>>): Promise<void>
}

type Body = Readonly<Record<string, unknown>>

/** Serves them to tests in other languages. Whatever is refused gets 400 and the reason. */
export function serveTestControls(app: FastifyInstance, controls: TestControls): void {
  app.get('/test/clock', async () => ({ now: controls.now() }))
  const post = (
    path: string,
    work: (body: Body) => Promise<void> | void,
    answer: () => object = () => ({ ok: true }),
  ) => {
    app.post(path, async (request, reply) => {
      try {
        await work(readBody(request.body))
        return answer()
      } catch (error) {
        if (!(error instanceof BrokerError || error instanceof RangeError)) throw error
        reply.code(400)
        return {
          error: { code: error instanceof BrokerError ? error.code : 'INVALID_REQUEST', message: error.message },
        }
      }
    })
  }
  post(
    '/test/clock/advance',
    ({ by }) => controls.advance(by as string),
    () => ({ now: controls.now() }),
  )
  post('/test/topics', (body) => controls.createTopic(body))
  post('/test/faults', (body) => controls.addFault(body))
  post('/test/connections/drop', () => controls.dropConnections())
  app.delete('/test/faults', async () => {
    controls.clearFaults()
    return { ok: true }
  })
}

function readBody(body: unknown): Body {
  if (body === undefined || body === null) return {}
  if (typeof body === 'object' && !Array.isArray(body)) return body as Body
  throw new BrokerError('INVALID_REQUEST', `Cannot read ${JSON.stringify(body).slice(0, 100)}: a JSON object is needed`)
}
