// What the compiler and the linter cannot keep: who may import whom, and who may ask the machine for time and files.
// ARCHITECTURE.md explains the table; change the design before changing it.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { expect, test } from 'vitest'
import { VERSION } from '../src/version.ts'

const ROOT = new URL('..', import.meta.url).pathname
const FOLDERS = ['src', 'client', 'cli', 'bench', 'deploy', 'test']

/** What a door may import: the broker speaks of partition logs and batches in the terms of the log's port. */
const DOOR = [
  'src/net/protocol.ts',
  'src/net/faults.ts',
  'src/broker',
  'src/groups',
  'src/transactions',
  'src/delay',
  'src/snapshot',
  'src/schema',
  'src/log/log-engine.ts',
  'src/record',
  'src/metrics',
]

/** What a room may import besides itself and `src/base`: rooms, or single files where only those are meant. */
const ROOMS: Record<string, readonly string[] | 'anything'> = {
  'src/base': [],
  'src/record': [],
  'src/metrics': [],
  'src/schema': [],
  'src/store': [],
  'src/tracing': ['src/record'],
  'src/net': ['src/metrics'],
  'src/log': ['src/record', 'src/metrics'],
  'src/groups': ['src/log/log-engine.ts', 'src/store', 'src/tracing/tracer.ts', 'src/record', 'src/metrics'],
  'src/delay': ['src/log/log-engine.ts', 'src/store', 'src/tracing/tracer.ts', 'src/record', 'src/metrics'],
  'src/transactions': ['src/log/log-engine.ts', 'src/store', 'src/record', 'src/metrics'],
  'src/snapshot': ['src/log/log-engine.ts', 'src/store', 'src/metrics'],
  'src/broker': [
    'src/groups',
    'src/transactions',
    'src/delay',
    'src/snapshot',
    'src/schema',
    'src/log/log-engine.ts',
    'src/store',
    'src/tracing/tracer.ts',
    'src/record',
    'src/metrics',
  ],
  'src/protocols/json': DOOR,
  'src/protocols/kafka': DOOR,
  'src/http': [
    'src/broker',
    'src/groups',
    'src/delay',
    'src/record',
    'src/schema',
    'src/metrics',
    'src/tracing/trace-context.ts',
    // Both doors speak of errors in the same codes.
    'src/protocols/json/errors.ts',
    'src/protocols/json/wire.ts',
  ],
  'src/config': 'anything',
  src: 'anything',
  client: ['src/protocols/json/wire.ts', 'src/record', 'src/broker/partitioner.ts'],
  cli: [
    'client',
    'src/protocols/json/wire.ts',
    'src/schema',
    'src/log',
    'src/record',
    'src/snapshot/snapshot-manifest.ts',
  ],
  bench: 'anything',
  deploy: [],
  test: 'anything',
}
/** The broker as a process. Programs and tests start it; no room knows it. */
const IMPORTED_BY_NOBODY = ['src/config', 'src']

/** Who may import `node:fs` in src/ besides the tests, and why. */
const MAY_OPEN_FILES: Record<string, string> = {
  'src/base/file-system.ts': 'the one place for the data directory',
  'src/base/library.ts': 'reads what comes with a library, which is no data',
  'src/base/directory-lock.ts': 'locks with sockets, which no simulated disk has',
  'src/config/': 'reads the configuration files',
  'src/store/lmdb': 'LMDB opens its files itself',
  'src/program.ts': 'looks whether brokerctl stands beside it',
}

/** Who may ask for the time or set a timer in src/ besides the tests, and why. */
const MAY_TELL_TIME: Record<string, string> = {
  'src/base/clock.ts': 'the one place',
}

const TIME =
  /(?<![.\w])(?:Date\.now|performance\.now|process\.hrtime|setTimeout|setInterval)\b|(?<!\w)new Date\(\)|'node:(?:timers|perf_hooks)'/

/** What is wrong with one source file. `path` is relative to the checkout. */
function findFaults(path: string, source: string): string[] {
  const faults: string[] = []
  const isTest = path.endsWith('.test.ts')
  const isShipped = path.startsWith('src/') && !isTest
  const mayDo = (exceptions: Record<string, string>) => Object.keys(exceptions).some((start) => path.startsWith(start))

  for (const specifier of importsOf(source)) {
    if (!specifier.startsWith('.')) {
      const isFiles = /^(?:node:)?fs(?:\/|$)/.test(specifier)
      if (isShipped && isFiles && !mayDo(MAY_OPEN_FILES))
        faults.push(`imports ${specifier}: only base/file-system.ts may`)
      continue
    }
    if (!/\.(?:ts|json)$/.test(specifier)) faults.push(`imports ${specifier} without its .ts ending`)
    const target = normalize(join(dirname(path), specifier))
    if (!isTest && !mayImport(path, target)) faults.push(`imports ${target}, which ${roomOf(path)} may not`)
  }
  const time = TIME.exec(source)
  if (isShipped && time !== null && !mayDo(MAY_TELL_TIME)) faults.push(`asks the machine for time: ${time[0]}`)
  if (/(?:^|\/)index\.ts$/.test(path)) faults.push('is an index.ts: import the file that has the thing')
  if (/^export default\b/m.test(source)) faults.push('has a default export: it has no name to search for')
  const postponed = /\b(?:TODO|FIXME|XXX)\b/.exec(source)
  if (postponed !== null) faults.push(`says ${postponed[0]}: an issue is the place for that`)
  const isForTests = isTest || path.startsWith('test/')
  const silenced = isForTests
    ? null
    : /@ts-(?:ignore|nocheck|expect-error)|(?:eslint|oxlint)-disable|prettier-ignore/.exec(source)
  if (silenced !== null) faults.push(`silences a tool: ${silenced[0]}`)
  return faults
}

function importsOf(source: string): string[] {
  const pattern = /^(?:import|export)\b[^'"`;]*?\bfrom\s*'([^']+)'|^import\s*'([^']+)'|\bimport\(\s*'([^']+)'/gm
  return [...source.matchAll(pattern)].map((match) => match[1] ?? match[2] ?? match[3])
}

function roomOf(path: string): string {
  const rooms = Object.keys(ROOMS).filter((room) => dirname(path) === room || path.startsWith(`${room}/`))
  return rooms.reduce((longest, room) => (room.length > longest.length ? room : longest), '')
}

function mayImport(path: string, target: string): boolean {
  const from = roomOf(path)
  const to = roomOf(target)
  const allowed = ROOMS[from]
  if (from === to || allowed === 'anything') return true
  if (IMPORTED_BY_NOBODY.includes(to)) return false
  return to === 'src/base' || allowed.includes(to) || allowed.includes(target)
}

function sourceFiles(): string[] {
  return FOLDERS.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => `${folder}/${name}`)
      // What is installed for tests is nobody's source.
      .filter((path) => !path.startsWith('test/compat/.installed/')),
  )
}

test('every source file keeps to the table of rooms and to the house rules', () => {
  // This file is full of what it looks for.
  const files = sourceFiles().filter((path) => path !== 'test/tidy.test.ts')
  const faults = files.flatMap((path) =>
    findFaults(path, readFileSync(join(ROOT, path), 'utf8')).map((fault) => `${path} ${fault}`),
  )
  expect(faults).toEqual([])
})

test('every source file is in a room', () => {
  expect(sourceFiles().filter((path) => roomOf(path) === '')).toEqual([])
  const strangers = readdirSync(join(ROOT, 'src'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== 'protocols')
    .filter((entry) => !(`src/${entry.name}` in ROOMS))
  expect(strangers.map((entry) => entry.name)).toEqual([])
})

test('the version in the sources is the version of the package', () => {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }
  expect(VERSION).toBe(version)
})

test('the lock file names no registry, so that everyone may use their own', () => {
  const lock = readFileSync(join(ROOT, 'package-lock.json'), 'utf8')
  expect(lock.match(/"resolved": "[^"]*"/g) ?? []).toEqual([])
})

test.each<[path: string, source: string, fault: string]>([
  ['src/record/a.ts', "import { x } from '../log/b.ts'", 'imports src/log/b.ts, which src/record may not'],
  [
    'src/broker/a.ts',
    "import type { x } from '../log/segment.ts'",
    'imports src/log/segment.ts, which src/broker may not',
  ],
  ['src/broker/a.ts', "import {\n  x,\n  y,\n} from '../net/b.ts'", 'imports src/net/b.ts, which src/broker may not'],
  ['src/net/a.ts', "export { x } from '../config/b.ts'", 'imports src/config/b.ts, which src/net may not'],
  ['src/http/a.ts', "const x = await import('../main.ts')", 'imports src/main.ts, which src/http may not'],
  [
    'src/protocols/json/operations/a.ts',
    "import { x } from '../../kafka/b.ts'",
    'imports src/protocols/kafka/b.ts, which src/protocols/json may not',
  ],
  [
    'src/protocols/json/a.ts',
    "import { x } from '../../net/b.ts'",
    'imports src/net/b.ts, which src/protocols/json may not',
  ],
  ['client/a.ts', "import { x } from '../src/broker/b.ts'", 'imports src/broker/b.ts, which client may not'],
  ['cli/commands/a.ts', "import { x } from '../../src/store/b.ts'", 'imports src/store/b.ts, which cli may not'],
  ['src/base/a.ts', "import '../record/b.ts'", 'imports src/record/b.ts, which src/base may not'],
  ['src/log/a.ts', "import { x } from './b.js'", 'imports ./b.js without its .ts ending'],
  ['src/log/a.ts', "import { x } from './b'", 'imports ./b without its .ts ending'],
  ['src/log/a.ts', "import * as fs from 'node:fs'", 'imports node:fs: only base/file-system.ts may'],
  ['src/log/a.ts', "import { open } from 'fs/promises'", 'imports fs/promises: only base/file-system.ts may'],
  ['src/log/a.ts', 'const now = Date.now()', 'asks the machine for time: Date.now'],
  ['src/log/a.ts', 'const now = new Date()', 'asks the machine for time: new Date()'],
  ['src/log/a.ts', 'setTimeout(f, 1)', 'asks the machine for time: setTimeout'],
  ['src/log/a.ts', 'const now = performance.now', 'asks the machine for time: performance.now'],
  ['src/log/index.ts', '', 'is an index.ts: import the file that has the thing'],
  ['cli/a.ts', 'export default 1', 'has a default export: it has no name to search for'],
  ['cli/a.ts', '// TODO: later', 'says TODO: an issue is the place for that'],
  ['cli/a.ts', '// @ts-expect-error', 'silences a tool: @ts-expect-error'],
  ['cli/a.ts', '// oxlint-disable-next-line', 'silences a tool: oxlint-disable'],
])('the check finds what is wrong with %s: %s', (path, source, fault) => {
  expect(findFaults(path, source)).toEqual([fault])
})

test.each<[path: string, source: string]>([
  ['src/broker/a.ts', "import type { LogEngine } from '../log/log-engine.ts'"],
  ['src/log/a.ts', "import { assert } from '../base/assert.ts'"],
  ['src/log/a.ts', 'socket.setTimeout(1); clock.now(); new Date(clock.now())'],
  ['src/log/a.test.ts', "import { x } from '../net/b.ts'\nimport * as fs from 'node:fs'\nDate.now()"],
  ['src/base/clock.ts', 'Date.now()'],
  ['src/main.ts', "import { x } from './http/server.ts'"],
  ['client/a.ts', "import { x } from '../src/protocols/json/wire.ts'"],
  ['client/a.ts', "import { x } from '../src/record/record-reader.ts'"],
  ['bench/a.ts', "import { x } from '../src/log/segment.ts'\nDate.now()"],
])('the check lets pass %s: %s', (path, source) => {
  expect(findFaults(path, source)).toEqual([])
})
