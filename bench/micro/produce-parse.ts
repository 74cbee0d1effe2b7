// Reading a PRODUCE payload: the byte scanner against the broker's own way by JSON.parse, and JSON.parse alone.
import { ProduceParser } from '../../src/protocols/json/produce-parser.ts'
import { RecordBatchBuilder } from '../../src/record/record-batch.ts'
import { compare } from './compare.ts'

const NOW = 1_700_000_000_000

for (const [count, valueBytes] of [
  [1, 100],
  [10, 100],
  [100, 100],
  [1000, 100],
  [1, 1024],
  [100, 1024],
] as const) {
  const records = Array.from({ length: count }, (_, index) => ({
    key: Buffer.from(`key-${index}`).toString('base64'),
    value: Buffer.alloc(valueBytes, 'cafelog').toString('base64'),
    ts: NOW + index,
  }))
  const usual = Buffer.from(JSON.stringify({ topic: 'bench', partition: 0, records }))
  // A field that the scanner does not know makes it give up at once.
  const unusual = Buffer.from(JSON.stringify({ client: 'x', topic: 'bench', partition: 0, records }))
  const scanning = new ProduceParser()
  const parsing = new ProduceParser()
  const builder = new RecordBatchBuilder()
  const build = (parser: ProduceParser, payload: Buffer) => {
    const request = parser.parse(payload, 0, payload.length, NOW)
    builder.reset()
    builder.begin()
    for (let index = 0; index < request.recordCount; index++) request.addTo(builder, index)
    return builder.finish()
  }
  if (!Buffer.from(build(scanning, usual)).equals(build(parsing, unusual))) throw new Error('the two ways do not agree')
  compare(`PRODUCE of ${count} × ${valueBytes} B, ${usual.length} bytes of JSON`, { name: 'record', perRun: count }, [
    { name: 'JSON.parse, checks, base64, batch', run: () => build(parsing, unusual) },
    { name: 'scanner, base64, batch', run: () => build(scanning, usual) },
    { name: 'scanner, base64', run: () => scanning.parse(usual, 0, usual.length, NOW) },
    { name: 'JSON.parse alone', run: () => JSON.parse(usual.toString('latin1')) },
  ])
}
