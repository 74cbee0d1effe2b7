import { PRODUCE } from './frame-types.ts'
import { RawClient } from './raw-client.ts'

const PERIOD_MS = 40

/** Writes a record into each partition of a topic again and again, through the JSON door. Values are the offsets. */
export class SteadyWriter {
  /** How many records each partition has. */
  perPartition = 0
  #client: RawClient
  readonly #topic: string
  readonly #partitionCount: number
  #isResting = false
  #writing: Promise<void>

  private constructor(client: RawClient, topic: string, partitionCount: number) {
    this.#client = client
    this.#topic = topic
    this.#partitionCount = partitionCount
    this.#writing = this.#begin()
  }

  static async start(port: number, topic: string, partitionCount: number): Promise<SteadyWriter> {
    return new SteadyWriter(await RawClient.connect(port), topic, partitionCount)
  }

  /** Resolves when all that was begun is written; nothing more is until `goOn`. */
  async rest(): Promise<void> {
    this.#isResting = true
    await this.#writing
  }

  /** Writes to another broker from now on, or to the same one after its restart; to be called while it rests. */
  async reconnect(port: number): Promise<void> {
    this.#client.close()
    this.#client = await RawClient.connect(port)
  }

  goOn(): void {
    this.#isResting = false
    this.#writing = this.#begin()
  }

  /** Returns how many records each partition has in the end. */
  async stop(): Promise<number> {
    await this.rest()
    this.#client.close()
    return this.perPartition
  }

  #begin(): Promise<void> {
    const writing = this.#write()
    // Whoever waits for its end is told; in a test that has failed, nobody does.
    writing.catch(() => undefined)
    return writing
  }

  async #write(): Promise<void> {
    while (!this.#isResting) {
      const value = Buffer.from(String(this.perPartition)).toString('base64')
      for (let partition = 0; partition < this.#partitionCount; partition++) {
        const { json } = await this.#client.ask(PRODUCE, { topic: this.#topic, partition, records: [{ value }] })
        if (json.error !== undefined) throw new Error(json.error.message)
      }
      this.perPartition++
      await new Promise((resolve) => setTimeout(resolve, PERIOD_MS))
    }
  }
}
