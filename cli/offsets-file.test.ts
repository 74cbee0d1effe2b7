import { expect, test } from 'vitest'
import { parseOffsetsFile } from './offsets-file.ts'

const one = { topic: 'orders', partition: 0, offset: 10 }
const two = { topic: 'orders', partition: 1, offset: 0 }

test.each([
  [
    'what export prints',
    '{"v":1,"group":"g","exportedAt":"now","offsets":[{"topic":"orders","partition":0,"offset":10}]}',
    [one],
  ],
  ['an array alone', '[{"topic":"orders","partition":0,"offset":"10"}]', [one]],
  ['nothing committed', '{"offsets":[{"topic":"orders","partition":1,"offset":null}]}', [{ ...two, offset: null }]],
  ["lines of Kafka's tool", 'orders,0,10\r\norders,1,0\r\n', [one, two]],
  ['lines below titles', 'topic,partition,offset\norders,0,10\n\n"orders",1,0', [one, two]],
  ['nothing', '', []],
])('%s', (_name, text, offsets) => {
  expect(parseOffsetsFile(text, 'offsets.json')).toEqual(offsets)
})

test.each([
  ['{"v":2,"offsets":[]}', 'it is of version 2'],
  ['{"v":1}', 'there is no "offsets" in it'],
  ['{"v":1', 'consumer export'],
  ['[{"topic":"orders","partition":0}]', '{"topic":"orders","partition":0} in "offsets.json"'],
  ['[{"topic":"orders","partition":-1,"offset":1}]', '"partition":-1'],
  ['[null]', 'Cannot use null'],
  ['orders,0', '"orders,0" in "offsets.json"'],
  ['orders,0,ten', '"orders,0,ten"'],
  ['group,orders,0,10', '"group,orders,0,10"'],
  ['orders,0,1\norders,0,2', 'orders/0 twice'],
])('refused: %s', (text, words) => {
  expect(() => parseOffsetsFile(text, 'offsets.json')).toThrow(words)
})
