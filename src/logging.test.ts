import { expect, test } from 'vitest'
import { controlLevel, createLogger, formatLine } from './logging.ts'

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

test.each(['a\u009b31mb', 'a\u007f\u0085b', 'a\u2028{"level":"fatal"}\u2029b', 'a\u001b]0;title\u0007b', 'a\r\nb'])(
  'no form of the log has %j as it is, wherever it stands',
  (hostile) => {
    const lines = log((logger) => {
      logger.error({ topic: hostile, err: new Error(hostile) }, `Cannot use ${hostile}`)
    })
    expect(lines).toHaveLength(1)
    expect(lines[0]).toMatch(/^[\P{Cc}]+\n$/u)
    expect(lines[0]).not.toMatch(/[\u2028\u2029]/)
    expect(JSON.parse(lines[0])).toMatchObject({ topic: hostile, msg: `Cannot use ${hostile}` })
    const readable = formatLine(lines[0], false)
    expect(readable).toMatch(/^[\P{Cc}\n]+$/u)
    expect(readable).not.toMatch(/[\u2028\u2029]/)
    // Nothing that a client sends looks like a line of its own: those of a stack are indented.
    expect(readable.split('\n').filter((line) => line !== '' && !line.startsWith('    '))).toHaveLength(1)
  },
)

test('the level can be changed, and each change is told while somebody listens', () => {
  const lines: string[] = []
  const logger = createLogger('info', { write: (line) => lines.push(line) })
  const control = controlLevel(logger)
  logger.debug({}, 'not yet')
  control.change('debug', 'me')
  logger.debug({}, 'now')
  control.change('silent', 'me')
  control.change('silent', 'me')
  logger.error({}, 'nobody hears it')
  control.change('info', 'me')
  expect(lines.map((line) => JSON.parse(line)).map(({ msg, from, to }) => [msg, from, to])).toEqual([
    ['the log level is changed until the next start', 'info', 'debug'],
    ['now', undefined, undefined],
    ['the log level is changed until the next start', 'debug', 'silent'],
    ['the log level is changed until the next start', 'silent', 'info'],
  ])
  expect([control.level, control.levelAtStart]).toEqual(['info', 'info'])
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
