// What waking costs at the least: a bare server of Node.js that has its answers ready. It knows no log and no sync; on a
// PRODUCE it writes the same answer to everyone who waits with a FETCH.
//   node dist/bench/servers/ready-answers.js PORT
import { createServer } from 'node:net'
import type { Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { FRAME_TYPES } from '../../src/protocols/json/wire.ts'
import { encodeFrame } from '../wire.ts'
import { cafeLog } from './cafelog.ts'
import { makeValue, type Startable } from './server.ts'

/** The yardstick for wake-ups, in place of a broker. */
export function readyAnswers(): Startable {
  return {
    name: 'bare Node.js server',
    missing: undefined,
    command: (_directory, port) => ({
      program: process.execPath,
      arguments: [fileURLToPath(import.meta.url), String(port)],
      environment: {},
    }),
    publishFirst: (port) => cafeLog('os').publishFirst(port),
  }
}

const record = { offset: 0, key: null, value: makeValue(100).toString('base64'), ts: 1_700_000_000_000 }
const answers = new Map<number, string>(
  Object.entries({
    [FRAME_TYPES.CREATE_TOPIC]: { ok: true },
    [FRAME_TYPES.PRODUCE]: { partition: 0, baseOffset: 0, lastOffset: 0 },
    [FRAME_TYPES.FETCH]: { records: [record], highWatermark: 1, logStartOffset: 0 },
  }).map(([type, answer]) => [Number(type), encodeFrame(Number(type), answer).toString('latin1')]),
)

function serve(port: number): void {
  const waiting = new Set<Socket>()
  createServer({ noDelay: true }, (socket) => {
    socket.on('data', (frame) => {
      const [type] = frame
      if (type === FRAME_TYPES.FETCH) return void waiting.add(socket)
      if (type === FRAME_TYPES.PRODUCE) {
        const answer = answers.get(FRAME_TYPES.FETCH) ?? ''
        for (const one of waiting) one.write(answer, 'latin1')
        waiting.clear()
      }
      socket.write(answers.get(type) ?? '', 'latin1')
    })
    socket.on('close', () => waiting.delete(socket))
    socket.on('error', () => socket.destroy())
  }).listen(port, '127.0.0.1')
}

if (process.argv[1] === fileURLToPath(import.meta.url)) serve(Number(process.argv[2]))
