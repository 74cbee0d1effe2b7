import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { FRAME_TYPES } from '../../src/protocols/json/wire.ts'
import { findProjectRoot } from '../project-root.ts'
import { encodeFrame, PlainConnection } from '../wire.ts'
import { makeValue, type Contender } from './server.ts'

/** The topic that every measurement uses; it has one partition. */
export const TOPIC = 'bench'

/** The built broker with one of its flush policies, through its JSON door. */
export function cafeLog(flushPolicy: 'always' | 'interval:10ms' | 'os'): Contender {
  const program = join(findProjectRoot(), 'dist/bin/cafelog.js')
  return {
    name: `CafeLog ${flushPolicy}`,
    protocol: 'json',
    missing: existsSync(program) ? undefined : 'dist/bin/cafelog.js is not there: npm run build',
    command: (directory, port) => ({
      program: process.execPath,
      arguments: [program],
      environment: {
        CAFELOG_TCP_ADDR: `127.0.0.1:${port}`,
        CAFELOG_KAFKA_ADDR: '127.0.0.1:0',
        CAFELOG_HTTP_ADDR: '127.0.0.1:0',
        CAFELOG_DATA_DIR: join(directory, 'data'),
        CAFELOG_CONFIG_DIR: join(directory, 'configs'),
        CAFELOG_LOG_LEVEL: 'warn',
        CAFELOG_FLUSH_POLICY: flushPolicy,
      },
    }),
    async publishFirst(port) {
      const connection = await PlainConnection.open(port)
      try {
        await connection.request(FRAME_TYPES.CREATE_TOPIC, { topic: TOPIC, partitions: 1 })
        await connection.request(FRAME_TYPES.PRODUCE, producePayload(1, 100))
      } finally {
        connection.close()
      }
    },
    publishRequest: (records, valueBytes) => ({
      request: encodeFrame(FRAME_TYPES.PRODUCE, producePayload(records, valueBytes)),
      prelude: undefined,
    }),
    async countRecords(port) {
      const connection = await PlainConnection.open(port)
      try {
        const answer = await connection.request<{ offsets: { offset: number }[] }>(FRAME_TYPES.LIST_OFFSETS, {
          topic: TOPIC,
          partition: 0,
          timestamp: -1,
        })
        return answer.offsets[0].offset
      } finally {
        connection.close()
      }
    },
  }
}

function producePayload(records: number, valueBytes: number) {
  const value = makeValue(valueBytes).toString('base64')
  // Old records would be retention's, and be gone before they are fetched.
  const now = Date.now()
  return {
    topic: TOPIC,
    partition: 0,
    records: Array.from({ length: records }, (_, index) => ({
      key: Buffer.from(`key-${String(index).padStart(4, '0')}`).toString('base64'),
      value,
      ts: now + index,
    })),
  }
}
