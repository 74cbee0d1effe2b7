import type { IncomingHttpHeaders } from 'node:http'
import type { Broker } from '../broker/broker.ts'
import type { ApiFields } from './api-fields.ts'

export type ApiMethod = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/** What a request of the API asks for. */
export interface ApiCall {
  readonly broker: Broker
  /** What stands in the path, by the names in the route's, decoded: any text. */
  readonly params: Readonly<Record<string, string>>
  readonly headers: IncomingHttpHeaders
  /** The body, as it came. */
  readonly bytes: Buffer
  /**
   * The fields of the body, a JSON object, of which these may be there.
   *
   * @throws BrokerError INVALID_REQUEST
   */
  readonly body: (known: readonly string[]) => ApiFields
  /**
   * The fields of the query, of which these may be there.
   *
   * @throws BrokerError INVALID_REQUEST
   */
  readonly query: (known: readonly string[]) => ApiFields
}

/** What is answered. */
export interface ApiAnswer {
  /** 200 unless said otherwise. */
  readonly status?: number
  /** JSON: a value, or its text. */
  readonly body: object | string
}

/** One thing that can be asked for over HTTP. */
export interface ApiRoute {
  readonly method: ApiMethod
  /** Under /api/v1. Parts that begin with a colon are parameters. */
  readonly path: string
  /** What is wanted, as refusals have it behind "Cannot". */
  readonly action: string
  /** The labels of its metrics, in the terms of the JSON protocol. */
  readonly operation: string
  readonly endpoint: 'produce' | 'fetch' | 'admin'
  /** The largest body, in bytes; 1 MiB unless said otherwise. */
  readonly bodyBytesMax?: number
  /** Refusals are thrown, or rejected with, as BrokerError or ApiRefusal. */
  readonly handle: (call: ApiCall) => ApiAnswer | Promise<ApiAnswer>
}
