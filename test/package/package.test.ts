// The package as its users get it: packed, installed into an empty project, imported, started, compiled against.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { installPackage, missingTools, ROOT, type InstalledPackage } from './installed-package.ts'
import { PREAMBLE, RIGHT_LINES, WRONG_LINES } from './usage.ts'

const MEBIBYTE = 1024 * 1024
const TSC = join(ROOT, 'node_modules/typescript/bin/tsc')

const missing = missingTools()
let installed: InstalledPackage
beforeAll(async () => {
  if (missing === undefined) installed = await installPackage('@types/node')
}, 120_000)
afterAll(() => installed?.remove())

const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }

if (missing !== undefined) test('the package', ({ skip }) => skip(missing))

test.runIf(missing === undefined)('the tarball holds what is needed and nothing else', () => {
  const { files, bytes, unpackedBytes } = installed.tarball
  expect(files).toEqual(
    expect.arrayContaining(['LICENSE', 'README.md', 'package.json', 'dist/bin/cafelog.js', 'dist/bin/brokerctl.js']),
  )
  const strangers = files.filter(
    (path) => !/^(?:dist\/(?:bin|src|client)|configs)\/|^(?:LICENSE|README.*|package\.json)$/.test(path),
  )
  expect(strangers).toEqual([])
  expect(files.filter((path) => /\.test\.|\.map$|(?<!\.d)\.ts$|\/(?:test|bench)\//.test(path))).toEqual([])
  expect(bytes).toBeLessThan(2 * MEBIBYTE)
  expect(unpackedBytes).toBeLessThan(8 * MEBIBYTE)
})

const PROGRAM = `
  const { startCafeLog } = await import('cafelog')
  const { CafeLogClient } = await import('cafelog/client')
  const broker = await startCafeLog({ topics: ['orders'] })
  const client = new CafeLogClient({ broker: broker.addresses.json })
  const topics = await client.admin().describeTopics()
  console.log(topics.map(({ name }) => name).join())
  await client.close()
  await broker.close()`

test.runIf(missing === undefined).each([
  ['an ES module', 'main.mjs', PROGRAM],
  [
    'an ES module with import statements',
    'static.mjs',
    `import { startCafeLog } from 'cafelog'
     import { CafeLogClient } from 'cafelog/client'
     console.log([typeof startCafeLog, typeof CafeLogClient].join())`,
  ],
  ['CommonJS by import()', 'main.cjs', `(async () => { ${PROGRAM} })()`],
])('%s imports it, and ends by itself', async (_name, path, source) => {
  installed.write(path, source)
  const stdout = path === 'static.mjs' ? 'function,function\n' : 'orders\n'
  expect(await installed.run(process.execPath, path)).toEqual({ code: 0, stdout, stderr: '' })
})

test.runIf(missing === undefined)('nothing but what is exported can be imported', async () => {
  installed.write('inside.mjs', `await import('cafelog/dist/src/main.js').catch(({ code }) => console.log(code))`)
  expect((await installed.run(process.execPath, 'inside.mjs')).stdout).toBe('ERR_PACKAGE_PATH_NOT_EXPORTED\n')
})

test.runIf(missing === undefined)('the client needs nothing of what the broker is made of', async () => {
  const aside = ['fastify', 'lmdb', 'pino', 'prom-client', 'yaml', 'commander'].map((name) => {
    const path = join(installed.directory, 'node_modules', name)
    return [path, `${path}-aside`] as const
  })
  installed.write(
    'alone.mjs',
    `const { CafeLogClient } = await import('cafelog/client'); console.log(CafeLogClient.name)`,
  )
  for (const [path, other] of aside) renameSync(path, other)
  const ended = await installed.run(process.execPath, 'alone.mjs')
  for (const [path, other] of aside) renameSync(other, path)
  expect(ended).toEqual({ code: 0, stdout: 'CafeLogClient\n', stderr: '' })
})

test.runIf(missing === undefined)('npx runs both programs', async () => {
  for (const program of ['cafelog', 'brokerctl']) {
    const ended = await installed.run('npx', program, '--version')
    expect(ended).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' })
  }
  const help = await installed.run('npx', 'brokerctl', 'help', 'consumer', 'peek')
  expect(help.stdout).toContain('Usage: brokerctl consumer peek')
  const bin = join(installed.directory, 'node_modules/.bin')
  const broker = spawn(join(bin, 'cafelog'), ['--ephemeral', '--port', '0', '--print-addresses', 'json'])
  try {
    const [line] = (await once(broker.stdout, 'data')) as [Buffer]
    const { json } = JSON.parse(String(line)) as { json: string }
    const created = await installed.run(join(bin, 'brokerctl'), '-b', json, 'topic', 'create', 'orders', '-p', '3')
    expect(created).toMatchObject({ code: 0, stdout: '✓ Created topic "orders": 3 partitions\n' })
  } finally {
    broker.kill()
    await once(broker, 'close')
  }
})

const MODULES = [
  { name: 'nodenext', module: 'nodenext', moduleResolution: 'nodenext', extension: 'mts' },
  { name: 'node16', module: 'node16', moduleResolution: 'node16', extension: 'mts' },
  { name: 'bundler', module: 'esnext', moduleResolution: 'bundler', extension: 'ts' },
]

/** Compiles lines of code against the installed types and returns the errors of each, in order. */
async function compile(
  lines: readonly string[],
  { name, module, moduleResolution, extension }: (typeof MODULES)[number],
) {
  const path = `${name}/usage.${extension}`
  const head = PREAMBLE.split('\n')
  const body = lines.map((line, index) => `export async function usage${index}() { ${line} }`)
  installed.write(path, [...head, ...body].join('\n'))
  const compilerOptions = {
    module,
    moduleResolution,
    target: 'es2022',
    lib: ['es2023', 'esnext.disposable'],
    types: ['node'],
    strict: true,
    exactOptionalPropertyTypes: true,
    // The package's own types are looked at, too.
    skipLibCheck: false,
    noEmit: true,
  }
  installed.write(`${name}/tsconfig.json`, JSON.stringify({ compilerOptions, include: ['.'] }))
  const { stdout, stderr } = await installed.run(process.execPath, TSC, '-p', name, '--pretty', 'false')
  const errors: string[][] = lines.map(() => [])
  const others: string[] = []
  for (const line of stdout.split('\n').filter((text) => /error TS/.test(text))) {
    const [, file, number, message] = /^(.*?)\((\d+),\d+\): error (.*)$/.exec(line) ?? ['', '', '', line]
    const index = Number(number) - head.length - 1
    if (file === path && index >= 0) errors[index].push(message)
    else others.push(line)
  }
  expect([...others, stderr].join('\n')).toBe('')
  return errors
}

test.runIf(missing === undefined).each(MODULES)(
  'its types resolve, and right usage compiles: $name',
  async (options) => {
    const errors = await compile(RIGHT_LINES, options)
    expect(
      RIGHT_LINES.filter((_line, index) => errors[index].length > 0).map((line) => [
        line,
        errors[RIGHT_LINES.indexOf(line)],
      ]),
    ).toEqual([])
  },
)

test.runIf(missing === undefined).each(MODULES)('wrong usage does not compile: $name', async (options) => {
  const errors = await compile(WRONG_LINES, options)
  expect(WRONG_LINES.filter((_line, index) => errors[index].length === 0)).toEqual([])
  // A slip of the list itself would be no proof: unknown names, and what is no TypeScript at all.
  expect(errors.flat().filter((message) => /^TS(?:1\d{3}|2304):/.test(message))).toEqual([])
})
