import type { CallOptions, Link } from './link.ts'
import type { Answer, Request } from './operations.ts'

type Signal = Pick<CallOptions, 'signal'>

/**
 * What is done about topics, offsets and groups rather than with records. docs/protocol-json.md explains every field of the
 * requests and answers. All of it can be asked twice, and is, when an answer was lost.
 *
 * Every method throws BrokerRefusal when the broker refuses (docs/errors.md has the codes), ConnectionFailure when it cannot be
 * reached, and the reason of the signal when that is aborted.
 */
export class Admin {
  readonly #link: Link

  constructor(link: Link) {
    this.#link = link
  }

  /** Makes a topic. One that is there already is fine when nothing about it is different; `created` is false then. */
  createTopic(topic: Request<'CREATE_TOPIC'>, options?: Signal): Promise<Answer<'CREATE_TOPIC'>> {
    return this.#link.call('CREATE_TOPIC', topic, options)
  }

  /** Deletes a topic with all its records. */
  async deleteTopic(topic: string, options?: Signal): Promise<void> {
    await this.#link.call('DELETE_TOPIC', { topic }, options)
  }

  /** Adds partitions and changes settings; returns what has changed. */
  async alterTopic(change: Request<'ALTER_TOPIC'>, options?: Signal): Promise<Answer<'ALTER_TOPIC'>['changes']> {
    return (await this.#link.call('ALTER_TOPIC', change, options)).changes
  }

  /** Topics with their partitions and settings: those named, or all. */
  async describeTopics(topics?: readonly string[], options?: Signal): Promise<Answer<'METADATA'>['topics']> {
    return (await this.#link.call('METADATA', topics === undefined ? {} : { topics }, options)).topics
  }

  /** Offsets by time (Unix milliseconds), or the ends: see LIST_OFFSETS_START and LIST_OFFSETS_END. */
  async listOffsets(request: Request<'LIST_OFFSETS'>, options?: Signal): Promise<Answer<'LIST_OFFSETS'>['offsets']> {
    return (await this.#link.call('LIST_OFFSETS', request, options)).offsets
  }

  /** Moves the start of a partition: what is before `beforeOffset` is gone. Returns the new log start offset. */
  async deleteRecords(request: Request<'DELETE_RECORDS'>, options?: Signal): Promise<number> {
    return (await this.#link.call('DELETE_RECORDS', request, options)).logStartOffset
  }

  /** All consumer groups. */
  async listGroups(options?: Signal): Promise<Answer<'LIST_GROUPS'>['groups']> {
    return (await this.#link.call('LIST_GROUPS', {}, options)).groups
  }

  /** A group with its members, what it has committed, and how far it is behind. */
  describeGroup(group: string, options?: Signal): Promise<Answer<'FETCH_OFFSETS'>> {
    return this.#link.call('FETCH_OFFSETS', { group }, options)
  }

  /** Commits an offset for a group that has no members. */
  async commitOffset(request: Request<'COMMIT'>, options?: Signal): Promise<void> {
    await this.#link.call('COMMIT', request, options)
  }

  /** Forgets what a group has committed, in one topic or in all; returns how many offsets that were. */
  async deleteOffsets(request: Request<'DELETE_OFFSETS'>, options?: Signal): Promise<number> {
    return (await this.#link.call('DELETE_OFFSETS', request, options)).deleted
  }

  /** What is running there. */
  describeBroker(options?: Signal): Promise<Answer<'BROKER_INFO'>> {
    return this.#link.call('BROKER_INFO', {}, options)
  }
}
