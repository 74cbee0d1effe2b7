import { createReadStream, openSync } from 'node:fs'
import { wholeNumber, type Command } from './command.ts'
import { CliFailure, usageFailure } from './failure.ts'
import { BATCH_RECORDS, Production, type ProduceInput, type ProduceOptions } from './production.ts'
import { compileFormat, FORMAT_HELP } from './record-format.ts'
import { isoTime, localTime } from './moment.ts'
import { DUE_OPTIONS, dueAtOf } from './schedules.ts'
import type { Header } from './record.ts'
import type { Session } from './session.ts'
import { readTopics } from './topics.ts'

export const produce: Command<ProduceOptions> = {
  name: 'produce',
  summary: 'append records to a topic',
  details: [
    'Without --value, --file or --tombstone every line of stdin is the value of a record. The partition follows from the key, as it does with Kafka; records without a key take turns.',
    `Formats (--report): ${FORMAT_HELP}`,
  ],
  arguments: [{ name: 'TOPIC', description: 'the topic', completes: 'topic' }],
  options: [
    { flags: '-k, --key <KEY>', description: 'the key of every record' },
    { flags: '--value <VALUE>', description: 'one record with this value; stdin is not read' },
    { flags: '--tombstone', description: 'one record without a value, which deletes its --key' },
    {
      flags: '-p, --partition <N>',
      description: 'the partition of every record',
      parse: wholeNumber('a partition', 0, usageFailure),
    },
    {
      flags: '-H, --header <KEY:VALUE>',
      description: 'a header of every record; may be repeated',
      isRepeatable: true,
      parse: header,
    },
    ...DUE_OPTIONS,
    { flags: '--file <FILE>', description: 'read this file instead of stdin' },
    {
      flags: '--input <KIND>',
      description: 'what the input is: a value on each line, what consume -j prints, or one value in all (lines)',
      choices: ['lines', 'jsonl', 'raw'],
    },
    { flags: '--keep-partition', description: 'with --input jsonl: into the partition that the line names' },
    { flags: '-K, --key-delimiter <TEXT>', description: 'lines are KEY TEXT VALUE; may be several characters' },
    {
      flags: '--acks <ACKS>',
      description: 'wait until records are stored safely, written, or not at all (all)',
      choices: ['all', '1', '0'],
    },
    {
      flags: '--batch <N>',
      description: `records in one request at most (${BATCH_RECORDS})`,
      parse: wholeNumber('a number of records', 1, usageFailure),
    },
    { flags: '--report <FORMAT>', description: "print each stored record, as in '%p %o\\n'", parse: compileFormat },
    { flags: '--failed <FILE>', description: 'write the input of records that were not stored to this file' },
  ],
  examples: [
    {
      line: `echo '{"userId": "123", "action": "login"}' | brokerctl produce user-events --key user123`,
      does: 'one record',
    },
    { line: 'brokerctl produce orders -K : < orders.txt', does: 'lines such as table-4:flat white' },
    { line: 'brokerctl consume orders -j -e | brokerctl produce copy --input jsonl', does: 'copy a topic' },
    {
      line: "brokerctl produce reminders --value 'pick up' --delay 10m",
      does: 'delivered in ten minutes',
    },
    {
      line: "brokerctl produce orders --key table-4 --value hello --report '%p %o\\n'",
      does: 'and print where it went',
    },
  ],
  exitCodes: [3, 4, 7],
  async run(session, [topic = ''], options) {
    const input = inputOf(session, options)
    const dueAt = dueAtOf(options)
    if (dueAt !== undefined) session.note(`Due ${localTime(dueAt)} here, ${isoTime(dueAt)}`)
    const connection = await session.connect()
    const [metadata] = await readTopics(connection, [topic])
    const partitionCount = metadata?.partitions.length ?? 0
    if (options.partition !== undefined && options.partition >= partitionCount) {
      throw new CliFailure(
        3,
        'UNKNOWN_TOPIC_OR_PARTITION',
        `There is no partition ${options.partition} in topic "${topic}": it has 0 to ${partitionCount - 1}`,
      )
    }
    return new Production(session, topic, dueAt === undefined ? options : { ...options, dueAt }).run(connection, input)
  },
}

function header(text: string): Header {
  const end = text.search(/[:=]/)
  if (end <= 0) throw usageFailure(`Cannot use ${JSON.stringify(text)} as a header: KEY:VALUE`)
  return { key: text.slice(0, end), value: Buffer.from(text.slice(end + 1)) }
}

/** One record that the options hold, or a stream of them. @throws CliFailure when options contradict each other. */
function inputOf(session: Session, options: ProduceOptions): ProduceInput {
  const sources = [
    options.value !== undefined && '--value',
    options.file !== undefined && '--file',
    options.tombstone === true && '--tombstone',
  ]
  const given = sources.filter((source) => source !== false)
  if (given.length > 1) throw usageFailure(`${given.join(' and ')} exclude each other`)
  if (options.key !== undefined && options.keyDelimiter !== undefined)
    throw usageFailure('--key and -K exclude each other')
  if (options.key !== undefined && options.input === 'jsonl')
    throw usageFailure('--key and --input jsonl exclude each other: the lines say their keys')
  if (options.keyDelimiter === '') throw usageFailure('The key delimiter (-K) is empty')
  if (options.keepPartition === true && options.input !== 'jsonl')
    throw usageFailure('--keep-partition goes with --input jsonl')
  if (options.keepPartition === true && options.partition !== undefined)
    throw usageFailure('--keep-partition and --partition exclude each other')
  if (options.tombstone === true) {
    if (options.key === undefined) throw usageFailure('A tombstone deletes a key: --key KEY')
    return null
  }
  if (options.value !== undefined) return Buffer.from(options.value)
  if (options.file !== undefined) return createReadStream('', { fd: openSync(options.file, 'r') })
  if (session.stdin.isTTY) session.note(session.noteColors.dim('Each line becomes a record. Ctrl-D ends.'))
  return session.stdin
}
