// Every foreign client writes a topic, and every one reads them all, record by record. The door of CafeLog's own JSON
// protocol takes part as one more client. COMPAT_RECORDS says how many records a topic has.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { BrokerProcess } from '../support/broker-process.ts'
import { BrokerHome } from '../support/broker-process.ts'
import type { Agent, Codec } from './agents.ts'
import { AGENTS, JSON_DOOR, runAgent } from './agents.ts'
import { ExpectedRecords } from './test-records.ts'

const RECORDS = Number(process.env['COMPAT_RECORDS'] ?? 50_000)
const PARTITIONS = 6
const EXCHANGE_MS_MAX = 180_000
const CREATE_TOPIC = 1

const clients = [...AGENTS, JSON_DOOR].filter(({ commands }) => commands.includes('consume'))
const present = clients.filter(({ missing }) => missing === undefined)

let home: BrokerHome
let broker: BrokerProcess
beforeAll(async () => {
  home = new BrokerHome()
  broker = await home.start({ environment: { CAFELOG_FLUSH_POLICY: 'interval:10ms' } })
})
afterAll(() => home.remove())

for (const { name, missing } of clients) {
  if (missing !== undefined) test(name, ({ skip }) => skip(missing))
}

describe.each(present)('records of $name', (producer) => {
  let expected: ExpectedRecords | undefined
  beforeAll(() => {
    expected = new ExpectedRecords(producer, RECORDS, PARTITIONS)
  })
  // Some 40 MB, which nobody needs after this.
  afterAll(() => {
    expected = undefined
  })

  // Who cannot read some codec gets a topic without it, after the others.
  for (const codecs of codecsToRead(producer)) {
    const topic = `from-${producer.name}-${codecs.join('-')}`
    const readers = present.filter((consumer) => isEqual(codecs, readable(producer, consumer)))

    let isWritten = false

    test(
      `are written: ${codecs.join(', ')}`,
      async () => {
        const json = await broker.connect()
        const request = { topic, partitions: PARTITIONS, config: { 'retention.ms': '-1' } }
        const { json: answer } = await json.ask(CREATE_TOPIC, request)
        expect(answer).toMatchObject({ ok: true })
        json.close()
        await produceAll(producer, topic, codecs)
        isWritten = true
      },
      EXCHANGE_MS_MAX,
    )

    // Most of the time each is busy in a process of its own.
    test.concurrent.each(readers)(
      'are read by $name',
      async (consumer) => {
        expect({ isWritten }).toEqual({ isWritten: true })
        const { onLine, finish } = expected!.reader()
        const parameters = {
          bootstrap: addressFor(consumer),
          topic,
          partitions: PARTITIONS,
          count: RECORDS,
          isolation: 'read_uncommitted',
        }
        await runAgent(consumer, { command: 'consume', parameters, onLine, runMsMax: EXCHANGE_MS_MAX })
        finish()
      },
      EXCHANGE_MS_MAX,
    )
  }
})

function readable({ codecs, framesSnappy }: Agent, { cannotRead }: Agent): readonly Codec[] {
  const isReadable = (codec: Codec) =>
    !cannotRead.includes(codec) && !(codec === 'snappy' && framesSnappy && cannotRead.includes('framed snappy'))
  return codecs.filter((codec) => isReadable(codec))
}

/** The lists of codecs that some consumer can read of what this producer has, all of them first. */
function codecsToRead(producer: Agent): (readonly Codec[])[] {
  const lists = present.map((consumer) => readable(producer, consumer))
  const different = lists.filter((list, index) => lists.findIndex((other) => isEqual(list, other)) === index)
  return different.toSorted((one, other) => other.length - one.length)
}

function isEqual(one: readonly Codec[], other: readonly Codec[]): boolean {
  return one.join() === other.join()
}

/** Record i of a topic is in the order of i within its partition: the codecs take turns, one fifth after the other. */
async function produceAll(producer: Agent, topic: string, codecs: readonly Codec[]): Promise<void> {
  for (const [index, codec] of codecs.entries()) {
    const first = Math.floor((RECORDS * index) / codecs.length)
    const count = Math.floor((RECORDS * (index + 1)) / codecs.length) - first
    const parameters = {
      bootstrap: addressFor(producer),
      topic,
      partitions: PARTITIONS,
      first,
      count,
      codec,
      acks: 'all',
      // Both ways to write, in turns.
      idempotent: producer.isIdempotent && index % 2 === 1,
    }
    const answers: string[] = []
    const onLine = (line: Buffer) => void answers.push(line.toString())
    await runAgent(producer, { command: 'produce', parameters, onLine, runMsMax: EXCHANGE_MS_MAX })
    expect(answers).toEqual([`{"sent":${count}}`])
  }
}

function addressFor(client: Agent): string {
  return `127.0.0.1:${client === JSON_DOOR ? broker.port : broker.kafkaPort}`
}
