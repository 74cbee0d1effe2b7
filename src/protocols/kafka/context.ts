import { BrokerError } from '../../base/broker-error.ts'
import type { Logger } from '../../base/logger.ts'
import type { Broker } from '../../broker/broker.ts'
import { Turns } from '../../broker/turns.ts'
import type { Channel, Lent } from '../../net/protocol.ts'
import { ERROR_CODES } from './error-codes.ts'
import type { ErrorName } from './error-codes.ts'
import type { RequestHeader } from './headers.ts'
import type { Meters } from './meters.ts'
import { Refusal } from './refusal.ts'
import type { AdvertisedVersions } from './registry.ts'

/** There is one broker, and this is its number. */
export const NODE_ID = 1

/** A setting of the broker, as Kafka calls it. */
export interface NamedSetting {
  readonly name: string
  readonly value: string
  readonly kind: 'boolean' | 'int' | 'long'
  /** Whether it is what nobody has set. */
  readonly isDefault: boolean
  readonly meaning: string
}

/** What an operator may set about the door. */
export interface KafkaSettings {
  /** Where clients are told to connect; undefined for the address that they have connected to. */
  readonly advertised: { readonly host: string; readonly port: number } | undefined
  /** Whether a client that asks for a topic that is not there gets a new one. */
  readonly autoCreateTopics: boolean
  /** Partitions of topics for which nobody says how many. */
  readonly defaultPartitions: number
  /** What is shown of the broker's settings. */
  readonly named: readonly NamedSetting[]
}

/** What all requests have to work with. */
export interface DoorParts {
  readonly broker: Broker
  readonly logger: Logger
  readonly meters: Meters
  readonly settings: KafkaSettings
  advertise(): readonly AdvertisedVersions[]
}

/** Something that a request waits for. */
export interface Waiting {
  /** Answers now, with what there is. */
  stopWaiting(): void
  /** The client is gone. */
  abandon(): void
}

/** An error as it is answered. */
export interface ErrorAnswer {
  readonly errorCode: number
  readonly errorMessage: string | null
}

/** One request, as its handler sees it. */
export class RequestContext {
  readonly parts: DoorParts
  readonly channel: Channel
  readonly header: RequestHeader
  /** What the answer's records lie in: given back once they were sent. */
  readonly lent: Lent[] = []
  /** The errors that were answered. */
  readonly errors: ErrorName[] = []
  /** Set by a handler while it waits. */
  waiting: Waiting | undefined
  /** Whether the connection is to be closed once this request is over. */
  isLast = false
  /** Whether the client has gone meanwhile. */
  isAbandoned = false

  readonly turns: Turns

  constructor(parts: DoorParts, channel: Channel, header: RequestHeader) {
    this.parts = parts
    this.channel = channel
    this.header = header
    this.turns = new Turns(parts.broker.clock)
  }

  get broker(): Broker {
    return this.parts.broker
  }
  get settings(): KafkaSettings {
    return this.parts.settings
  }
  get version(): number {
    return this.header.apiVersion
  }

  /** Where this client is to connect to. */
  get node(): { readonly host: string; readonly port: number } {
    return this.parts.settings.advertised ?? this.channel.local
  }

  /**
   * Answers for each element, in their order. A request with very many of them lets others have their turn in between, so
   * an answer must not rely on what was true at the one before.
   */
  async inTurns<Element, Answer>(
    elements: readonly Element[],
    answer: (element: Element) => Answer | Promise<Answer>,
  ): Promise<Answer[]> {
    const answers: Answer[] = []
    for (const element of elements) {
      if (this.turns.isOver) await this.turns.pass()
      const outcome = answer(element)
      answers.push(outcome instanceof Promise ? await outcome : outcome)
    }
    return answers
  }

  /** The number of an error that is answered. */
  refuse(name: ErrorName): number {
    if (name !== 'NONE') this.errors.push(name)
    return ERROR_CODES[name]
  }

  /** The number for whatever was thrown. What is no refusal is a mistake of ours, and is logged. */
  codeOf(error: unknown): number {
    if (error instanceof Refusal) return this.refuse(error.errorName)
    if (error instanceof BrokerError) return this.refuse(error.code)
    const { apiKey, apiVersion } = this.header
    const facts = { peer: this.channel.peer, apiKey, apiVersion, err: error }
    this.parts.logger.error(facts, 'a request failed by a mistake of ours')
    return this.refuse('UNKNOWN_SERVER_ERROR')
  }

  /** Number and message for whatever was thrown; a mistake of ours gives nothing of its text away. */
  describe(error: unknown): ErrorAnswer {
    const isRefusal = error instanceof Refusal || error instanceof BrokerError
    const errorMessage = isRefusal ? cut(error.message) : 'The broker made a mistake; its log says more'
    return { errorCode: this.codeOf(error), errorMessage }
  }

  /** Does something for a part of the request; what it throws becomes that part's answer. */
  async try(work: () => Promise<void> | void): Promise<ErrorAnswer> {
    try {
      await work()
      return { errorCode: ERROR_CODES.NONE, errorMessage: null }
    } catch (error) {
      return this.describe(error)
    }
  }
}

/** Messages quote what the client sent. */
const MESSAGE_CHARACTERS_MAX = 1000

function cut(message: string): string {
  return message.length > MESSAGE_CHARACTERS_MAX ? `${message.slice(0, MESSAGE_CHARACTERS_MAX)}…` : message
}
