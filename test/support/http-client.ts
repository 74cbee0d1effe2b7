import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { connect } from 'node:net'

/** What came back. */
export interface HttpAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
  /** The body, if it is JSON. */
  readonly json: any
}

/** What a request has besides its method and path. */
export interface HttpWish {
  /** Sent as JSON, unless it is text or bytes already. */
  readonly body?: unknown
  /** Undefined leaves a header out that is sent otherwise. */
  readonly headers?: Readonly<Record<string, string | undefined>>
}

/** A client of the HTTP API that sends exactly what it is told: paths as they are, any header. */
export class HttpClient {
  readonly port: number
  readonly #agent = new Agent({ keepAlive: true })

  constructor(port: number) {
    this.port = port
  }

  close(): void {
    this.#agent.destroy()
  }

  async ask(method: string, path: string, { body, headers = {} }: HttpWish = {}): Promise<HttpAnswer> {
    const isRaw = body === undefined || typeof body === 'string' || Buffer.isBuffer(body)
    const bytes = isRaw ? Buffer.from(body ?? '') : Buffer.from(JSON.stringify(body))
    const isChange = method !== 'GET' && method !== 'HEAD' && method !== 'DELETE'
    const all = Object.entries({
      ...(isChange && { 'content-type': 'application/json', 'content-length': String(bytes.length) }),
      ...headers,
    }).filter((entry): entry is [string, string] => entry[1] !== undefined)
    const sent = request({
      agent: this.#agent,
      host: '127.0.0.1',
      port: this.port,
      method,
      path,
      headers: Object.fromEntries(all),
    })
    // Whoever is refused early may find that nobody listens to the rest.
    sent.on('error', () => {})
    sent.end(bytes)
    const [response] = await once(sent, 'response')
    let text = ''
    for await (const piece of response.setEncoding('utf8')) text += piece
    const isJson = String(response.headers['content-type']).startsWith('application/json') && text !== ''
    return { status: response.statusCode, headers: response.headers, text, json: isJson ? JSON.parse(text) : undefined }
  }

  /** What comes back when bytes are sent that no HTTP client would send, until the broker closes. */
  async askRaw(bytes: string, { isCutOff = false } = {}): Promise<string> {
    const socket = connect(this.port, '127.0.0.1')
    let text = ''
    socket.setEncoding('utf8').on('data', (piece: string) => (text += piece))
    socket.on('error', () => {})
    socket.write(bytes)
    if (isCutOff) socket.end()
    await once(socket, 'close')
    return text
  }
}
