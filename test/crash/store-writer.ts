import { nodeFileSystem } from '../../src/base/file-system.ts'
import { LmdbStore } from '../../src/store/lmdb-store.ts'

/**
 * The process that store-crash.test.ts kills: commits numbered rows with several commits in flight, and prints each
 * number once it is acknowledged. Arguments: directory of the store, first number, bytes of a value.
 *
 * Every commit writes two rows, so that half a commit would show.
 */
const [, , path, firstText, valueBytesText] = process.argv
const store = new LmdbStore({ path, fileSystem: nodeFileSystem })
const valueBytes = Number(valueBytesText)
let next = Number(firstText)

const writeOneAfterTheOther = async () => {
  for (;;) {
    const number = next++
    const value = Buffer.alloc(valueBytes, String(number))
    await store.commit([
      { table: 'topics', key: `row ${number}`, value },
      { table: 'offsets', key: `row ${number}`, value },
    ])
    process.stdout.write(`${number}\n`)
  }
}

try {
  await Promise.all(Array.from({ length: 8 }, writeOneAfterTheOther))
} catch (error) {
  const second = await store.commit([]).catch(String)
  await store.close()
  process.stdout.write(`failed: ${String(error)}\nthen: ${String(second)}\n`)
}
