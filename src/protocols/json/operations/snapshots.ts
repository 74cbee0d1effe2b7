import { SNAPSHOT_READ_BYTES_MAX } from '../../../snapshot/snapshots.ts'
import type { Operation } from '../context.ts'
import { OFFSET_RANGE } from '../fields.ts'

const READ_BYTES_DEFAULT = 1024 * 1024
const FILE_RANGE = { min: 0, max: 0x7fffffff }
const BYTES_RANGE = { min: 1, max: SNAPSHOT_READ_BYTES_MAX }

/** BEGIN_SNAPSHOT: takes hold of everything as it is at this moment. */
export const beginSnapshot: Operation<'BEGIN_SNAPSHOT'> = async ({ broker }) => {
  const { id, fileCount, sizeBytes } = await broker.snapshots.begin()
  return { id, files: fileCount, sizeBytes }
}

/** READ_SNAPSHOT: some bytes of one of its files. */
export const readSnapshot: Operation<'READ_SNAPSHOT'> = async ({ broker }, fields) => {
  const place = {
    file: fields.integer('file', FILE_RANGE),
    position: fields.integer('position', OFFSET_RANGE),
    bytesMax: fields.optionalInteger('maxBytes', BYTES_RANGE) ?? READ_BYTES_DEFAULT,
  }
  const bytes = await broker.snapshots.read(fields.text('id'), place)
  return { data: bytes.toString('base64') }
}

/** END_SNAPSHOT: lets go of it. */
export const endSnapshot: Operation<'END_SNAPSHOT'> = async ({ broker }, fields) => {
  await broker.snapshots.end(fields.text('id'), fields.optionalBoolean('complete') ?? false)
  return { ok: true }
}
