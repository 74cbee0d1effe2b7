import { expect, test } from 'vitest'
import { createLogger, formatLine } from './logging.ts'

function log(write: (logger: ReturnType<typeof createLogger>) => void): string[] {
  const lines: string[] = []
  write(createLogger('info', { write: (line) => lines.push(line) }))
  return lines
}

test('a line is JSON with the level by name, the time as ISO 8601 and the error in full', () => {
  const [line] = log((logger) => logger.warn({ err: new Error('no space'), topic: 'orders' }, 'cannot write'))
  const parsed = JSON.parse(line)
  expect(parsed).toMatchObject({ level: 'warn', msg: 'cannot write', topic: 'orders', err: { message: 'no space' } })
  expect(new Date(parsed.time).toISOString()).toBe(parsed.time)
  expect(Object.keys(parsed)).toEqual(['level', 'time', 'err', 'topic', 'msg'])
})

test('what is below the level is not written', () => {
  expect(log((logger) => logger.debug({}, 'detail'))).toEqual([])
})

test('control characters in what clients send do not get into the log', () => {
  const [line] = log((logger) => logger.info({ topic: 'a\r\n\u001b[31m' }, 'made'))
  expect(line.indexOf('\n')).toBe(line.length - 1)
  expect(line).not.toContain('\u001b')
  expect(formatLine(line, false)).toContain(String.raw`topic="a\r\n\u001b[31m"`)
})

test('on a terminal a line is short and readable', () => {
  const time = new Date(2026, 0, 2, 3, 4, 5, 6).toISOString()
  const line = JSON.stringify({ level: 'info', time, partitions: 4, directory: './data', msg: 'opened' })
  expect(formatLine(line, false)).toBe('03:04:05.006 INFO  opened  partitions=4  directory=./data\n')
})

test("on a terminal an error's stack stands below the line", () => {
  const [line] = log((logger) => logger.error({ err: new Error('no space') }, 'cannot write'))
  const [first, second, third] = formatLine(line, false).split('\n')
  expect(first).toMatch(/ERROR cannot write$/)
  expect(second).toBe('    Error: no space')
  expect(third).toMatch(/^ {8}at /)
})
