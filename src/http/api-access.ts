import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { isIP } from 'node:net'
import type { Clock } from '../base/clock.ts'
import type { Broker } from '../broker/broker.ts'
import { ApiRefusal } from './api-errors.ts'

const QUOTED_CHARACTERS_MAX = 80

/** What the door of the API goes by. */
export interface ApiAccessOptions {
  readonly clock: Clock
  /** What every request has to bring along as its bearer token; undefined when none is asked for. */
  readonly token: string | undefined
  /** Names under which browsers may come, besides those that nobody else can have: `kafka.example`, `*.example`, `*`. */
  readonly allowedHosts: readonly string[]
}

/**
 * Who may use the API, and when. It is there from the first moment on, and says that the broker is starting until it is
 * given one.
 *
 * A browser is the one client that can be made to send what its user does not want. So names are looked at: a page of
 * another site that lets its own name lead to this machine (DNS rebinding) gives itself away by `Host`, one that asks across
 * sites by `Origin`. Addresses, `localhost`, and names of one word cannot belong to such a page.
 */
export class ApiAccess {
  readonly #clock: Clock
  readonly #tokenHash: Buffer | undefined
  readonly #allowedHosts: readonly string[]
  #broker: Broker | undefined
  #isClosed = false
  #running = 0
  #onIdle: () => void = () => {}

  constructor({ clock, token, allowedHosts }: ApiAccessOptions) {
    this.#clock = clock
    this.#tokenHash = token === undefined ? undefined : hash(token)
    this.#allowedHosts = allowedHosts.map((host) => host.toLowerCase())
  }

  /** From now on requests are served. */
  open(broker: Broker): void {
    this.#broker = broker
  }

  /** Takes no more requests, and resolves when those that are under way have been answered, or after `waitMs`. */
  async drain(waitMs: number): Promise<void> {
    this.#isClosed = true
    if (this.#running === 0) return
    await new Promise<void>((resolve) => {
      const timer = this.#clock.setTimer(waitMs, resolve)
      this.#onIdle = () => {
        timer.cancel()
        resolve()
      }
    })
  }

  /**
   * Looks at who asks.
   *
   * @throws ApiRefusal 401, 403 or 421
   */
  check({ host = '', origin, authorization }: IncomingHttpHeaders): void {
    const name = hostNameOf(host)
    if (name === undefined || !(isNobodyElses(name) || this.#isAllowed(name))) {
      throw new ApiRefusal(
        421,
        'FORBIDDEN',
        `Cannot serve the API as host ${quote(host)}: an IP address, "localhost", a name without dots, or one of CAFELOG_HTTP_ALLOWED_HOSTS is needed`,
      )
    }
    if (origin !== undefined && !this.#isOwnOrigin(origin, host)) {
      throw new ApiRefusal(
        403,
        'FORBIDDEN',
        `Cannot serve the API to pages of ${quote(origin)}: only pages of this very address are served, or of CAFELOG_HTTP_ALLOWED_HOSTS`,
      )
    }
    if (this.#tokenHash === undefined) return
    const [, given] = /^Bearer +(\S+) *$/i.exec(authorization ?? '') ?? []
    if (given !== undefined && timingSafeEqual(hash(given), this.#tokenHash)) return
    const what = authorization === undefined ? 'without a token' : 'with this token'
    throw new ApiRefusal(
      401,
      'UNAUTHORIZED',
      `Cannot serve the API ${what}: the header "authorization: Bearer …" with the value of CAFELOG_TOKEN is needed`,
      { 'www-authenticate': 'Bearer realm="CafeLog"' },
    )
  }

  /**
   * Begins a request; `leave` ends it.
   *
   * @throws ApiRefusal 503 while the broker is starting or stopping
   */
  enter(): Broker {
    if (this.#broker === undefined || this.#isClosed) {
      const state = this.#isClosed ? 'stopping' : 'starting'
      throw new ApiRefusal(503, 'INTERNAL_IO_ERROR', `Cannot serve the API: the broker is ${state}, try again`, {
        'retry-after': '1',
      })
    }
    this.#running++
    return this.#broker
  }

  leave(): void {
    this.#running--
    if (this.#running === 0) this.#onIdle()
  }

  #isAllowed(name: string): boolean {
    return this.#allowedHosts.some(
      (allowed) => allowed === '*' || allowed === name || (allowed.startsWith('*.') && name.endsWith(allowed.slice(1))),
    )
  }

  #isOwnOrigin(origin: string, host: string): boolean {
    const [, originHost] = /^https?:\/\/([^/]+)$/i.exec(origin) ?? []
    if (originHost === undefined) return false
    if (originHost.toLowerCase() === host.toLowerCase()) return true
    const name = hostNameOf(originHost)
    // `*` is for the names of the broker: it does not make every page of the world one of its own.
    return name !== undefined && !this.#allowedHosts.includes('*') && this.#isAllowed(name)
  }
}

/** The name in a Host header, in lower case, without port; undefined if it is malformed. */
function hostNameOf(host: string): string | undefined {
  const [, addressV6, name] = /^(?:\[([0-9a-f:.]+)\]|([^\s:/@[\]]+))(?::\d{1,5})?$/i.exec(host) ?? []
  return (addressV6 ?? name)?.toLowerCase()
}

/** Whether no page of the internet can have come under this name. */
function isNobodyElses(name: string): boolean {
  return isIP(name) !== 0 || !name.includes('.') || name.endsWith('.localhost')
}

function hash(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

function quote(text: string): string {
  return JSON.stringify(text.length > QUOTED_CHARACTERS_MAX ? `${text.slice(0, QUOTED_CHARACTERS_MAX)}…` : text)
}
