import { expect, test } from 'vitest'
import { parseLoadCommand, type LoadOptions } from './options.ts'

function parse(line: string, environment: Record<string, string> = {}): Partial<LoadOptions> | string {
  const command = parseLoadCommand(line.split(' ').filter(Boolean), environment)
  if (command.kind === 'run') return command.options
  return command.kind === 'refused' ? command.message : 'help'
}

test('the line of the specification means what it says', () => {
  expect(parse('--topics 5 --rate 1000msg/s')).toEqual({
    host: 'localhost',
    port: 7070,
    topics: 5,
    partitions: undefined,
    rate: 1000,
    durationMs: 10_000,
    valueBytes: 100,
    batch: 1,
    acks: 'all',
    connections: 5,
    inFlight: 64,
    timeoutMs: 10_000,
    isJson: false,
  })
})

test.each<[line: string, expected: Partial<LoadOptions>]>([
  ['--rate 1000', { rate: 1000 }],
  ['--rate 1000/s', { rate: 1000 }],
  ['--rate 2.5kmsg/s', { rate: 2500 }],
  ['--rate 1M', { rate: 1_000_000 }],
  ['--rate 0', { rate: 0 }],
  ['--rate 0msg/s', { rate: 0 }],
  ['--rate max', { rate: 0 }],
  ['--rate=50k/s', { rate: 50_000 }],
  ['--duration 30s', { durationMs: 30_000 }],
  ['--duration 1.5m', { durationMs: 90_000 }],
  ['--duration 1m30s', { durationMs: 90_000 }],
  ['--duration 250ms', { durationMs: 250 }],
  ['--size 100B', { valueBytes: 100 }],
  ['--size 0', { valueBytes: 0 }],
  ['--size 1KB', { valueBytes: 1024 }],
  ['--size 1KiB', { valueBytes: 1024 }],
  ['--size 2mb', { valueBytes: 2 << 20 }],
  ['--acks 0', { acks: 0 }],
  ['--acks 1', { acks: 1 }],
  ['--acks=-1', { acks: 'all' }],
  ['--topics 40', { topics: 40, connections: 16 }],
  ['--topics 40 --connections 3 --partitions 8', { topics: 40, connections: 3, partitions: 8 }],
  ['--batch 100 --in-flight 8 --json', { batch: 100, inFlight: 8, isJson: true }],
  ['-b broker.example:9000', { host: 'broker.example', port: 9000 }],
  ['--broker [::1]:7070', { host: '::1', port: 7070 }],
  ['--broker :7071', { host: 'localhost', port: 7071 }],
])('load test options: %s', (line, expected) => {
  expect(parse(line)).toMatchObject(expected)
})

test('the broker of the environment is used unless the line names one', () => {
  expect(parse('', { CAFELOG_BROKER: '10.0.0.1:7000' })).toMatchObject({ host: '10.0.0.1', port: 7000 })
  expect(parse('-b localhost:1', { CAFELOG_BROKER: '10.0.0.1:7000' })).toMatchObject({ host: 'localhost', port: 1 })
  expect(parse('', { CAFELOG_BROKER: '' })).toMatchObject({ host: 'localhost', port: 7070 })
})

test.each([
  ['--rate fast', 'Cannot use --rate "fast": messages a second like 1000msg/s, 50k/s or max'],
  ['--rate -5', /rate/],
  ['--rate=-5', 'Cannot use --rate "-5"'],
  ['--rate 1000msgs', 'Cannot use --rate "1000msgs"'],
  ['--rate 1000Kmsg/s', 'Cannot use --rate "1000Kmsg/s"'],
  ['--rate 1e3', 'Cannot use --rate "1e3"'],
  ['--rate 20M', 'Cannot use --rate "20M"'],
  ['--duration 30', 'Cannot use --duration "30": 1ms to 24h, like 500ms, 30s, 5m'],
  ['--duration 0s', 'Cannot use --duration "0s"'],
  ['--duration 25h', 'Cannot use --duration "25h"'],
  ['--timeout never', 'Cannot use --timeout "never"'],
  ['--size 1.5B', 'Cannot use --size "1.5B": 0B to 8MB, like 100B, 1KB, 64KB'],
  ['--size -1', /size/],
  ['--size 1GB', 'Cannot use --size "1GB"'],
  ['--size 9MB', 'Cannot use --size "9MB"'],
  ['--topics 0', 'Cannot use --topics "0": a whole number from 1 to 1000'],
  ['--topics 1.5', 'Cannot use --topics "1.5"'],
  ['--topics', /topics/],
  ['--batch 1000000', 'Cannot use --batch "1000000"'],
  ['--acks 2', 'Cannot use --acks "2": 0, 1 or all'],
  ['--protocol kafka', 'Cannot use --protocol kafka: this version of the broker has no Kafka door yet, only json'],
  ['--protocol amqp', 'Cannot use --protocol "amqp": json'],
  ['--broker localhost', 'Cannot use "localhost" as the broker\'s address: host:port, like localhost:7070'],
  ['--broker localhost:99999', 'Cannot use "localhost:99999" as the broker\'s address'],
  ['--speed 5', /--speed/],
  ['more', /more/],
  ['--size 1MB --batch 8', 'a frame holds 10 MiB, at most --batch 7 with this --size'],
  ['--size 8MB', 'a frame holds 10 MiB, a smaller --size'],
] as const)('load test refuses %s', (line, message) => {
  const said = parse(line)
  if (typeof message === 'string') expect(said).toContain(message)
  else expect(said).toMatch(message)
})

test('--help wins over everything that parses', () => {
  expect(parse('--topics 5 --help')).toBe('help')
})
