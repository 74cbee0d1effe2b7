// kcat, as Debian packages it, behind the commands of an agent. It sends no timestamps, and headers only the same for
// all records of a run: its records have none.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { piecesOf, print, printRecord, run, watchIdle } from '../agent.mjs'

const FORMAT = String.raw`%p\t%o\t%T\t%K\t%k\t%S\t%s\t%h\n`

async function produce({ bootstrap, topic, partitions, first, count, codec, acks, idempotent }) {
  const settings = ['-X', `acks=${acks}`, '-X', `enable.idempotence=${idempotent === true}`]
  const children = Array.from({ length: partitions }, (_, partition) => {
    // -Z: an empty key or value is a null.
    const words = [
      '-P',
      '-b',
      bootstrap,
      '-t',
      topic,
      '-p',
      String(partition),
      '-z',
      codec,
      '-Z',
      '-K',
      '|',
      ...settings,
    ]
    return spawn('kcat', words, { stdio: ['pipe', 'inherit', 'inherit'] })
  })
  const ends = Promise.all(children.map((child) => endOf(child)))
  for (const records of piecesOf({ first, count, partitions })) {
    const texts = children.map(() => '')
    for (const { partition, key, value } of records) texts[partition] += `${key ?? ''}|${value ?? ''}\n`
    await Promise.all(children.map((child, index) => new Promise((done) => child.stdin.write(texts[index], done))))
  }
  for (const child of children) child.stdin.end()
  await ends
  print({ sent: count })
}

async function consume({ bootstrap, topic, count, isolation }) {
  const words = ['-C', '-b', bootstrap, '-t', topic, '-o', 'beginning', '-c', String(count), '-q', '-f', FORMAT]
  const settings = ['-X', `isolation.level=${isolation}`]
  const child = spawn('kcat', [...words, ...settings], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = endOf(child)
  const idle = watchIdle()
  createInterface({ input: child.stdout }).on('line', (line) => {
    idle()
    const [partition, offset, timestamp, keyBytes, key, valueBytes, value, headers] = line.split('\t')
    printRecord({
      partition: Number(partition),
      offset,
      key: keyBytes === '-1' ? null : Buffer.from(key),
      value: valueBytes === '-1' ? null : Buffer.from(value),
      headers: headers === '' ? [] : headers.split(',').map((header) => parseHeader(header)),
      timestamp,
    })
  })
  await ended
}

function parseHeader(header) {
  const at = header.indexOf('=')
  return [header.slice(0, at), Buffer.from(header.slice(at + 1))]
}

function endOf(child) {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => (code === 0 ? resolve() : reject(new Error(`kcat ended with ${code}`))))
  })
}

await run({ produce, consume })
