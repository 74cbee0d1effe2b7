import type { TopicName } from '../base/topic-name.ts'
import type { DelayState } from './delay-state.ts'
import { countRow, keyBehind, parseDueKey } from './schedule-rows.ts'

const ROWS_OF_A_TURN = 4096
/** Behind every topic's name. */
const LAST_KEY = '\u007f'

/**
 * Counts what waits anew, when the counts do not add up to the rows, which a full disk at the wrong moment can do.
 *
 * @throws BrokerError KAFKA_STORAGE_ERROR
 */
export async function recount(state: DelayState): Promise<void> {
  const { store, topics } = state
  for (const topic of topics.values()) topic.count = 0
  let start = ''
  for (;;) {
    let rows = 0
    for (const [key] of store.range('schedules_due', start, LAST_KEY)) {
      state.topicOf(parseDueKey(key).topic as TopicName).count++
      start = keyBehind(key)
      if (++rows === ROWS_OF_A_TURN) break
    }
    if (rows < ROWS_OF_A_TURN) break
    await new Promise((nextTurn) => setImmediate(nextTurn))
  }
  await store.commit([...topics.values()].map(({ topic, count }) => countRow(topic, count)))
}
