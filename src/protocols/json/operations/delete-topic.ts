import type { Operation } from '../context.ts'

/** Deletes a topic with all its records and committed offsets. */
export const deleteTopic: Operation<'DELETE_TOPIC'> = async ({ broker }, fields) => {
  await broker.topics.delete(fields.text('topic'))
  return { ok: true }
}
