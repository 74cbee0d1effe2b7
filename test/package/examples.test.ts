// Every example does what its README says, with the package as users get it.
import { cpSync, existsSync, readdirSync, readFileSync, symlinkSync } from 'node:fs'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { execute, installPackage, missingTools, ROOT, type InstalledPackage } from './installed-package.ts'

const EXAMPLES = join(ROOT, 'examples')
/** Where else the libraries that an example needs may be installed. */
const PLACES = [join(ROOT, 'node_modules'), join(ROOT, 'test/compat/.installed/node/node_modules')]

const missing = missingTools()
let installed: InstalledPackage
beforeAll(async () => {
  if (missing === undefined) installed = await installPackage()
}, 120_000)
afterAll(() => installed?.remove())

/** Where the libraries of an example are, besides CafeLog. */
function findLibraries(name: string): { readonly [library: string]: string | undefined } {
  const { dependencies = {}, devDependencies = {} } = JSON.parse(
    readFileSync(join(EXAMPLES, name, 'package.json'), 'utf8'),
  ) as { dependencies?: object; devDependencies?: object }
  const names = Object.keys({ ...dependencies, ...devDependencies }).filter((library) => library !== 'cafelog')
  return Object.fromEntries(
    names.map((library) => [library, PLACES.map((place) => join(place, library)).find((path) => existsSync(path))]),
  )
}

function reasonToSkip(name: string, commands: readonly string[]): string | undefined {
  if (missing !== undefined) return missing
  const library = Object.entries(findLibraries(name)).find(([, path]) => path === undefined)?.[0]
  if (library === 'kafkajs') return 'kafkajs is not installed: npm run compat:install'
  if (library !== undefined) return `${library} is not installed: npm install --no-save ${library}`
  const isPython = commands.some((command) => command.startsWith('python3 '))
  return isPython && spawnSync('python3', ['--version']).status !== 0 ? 'python3 is not installed' : undefined
}

/** The commands of its README, without the one that installs. */
function commandsOf(name: string): string[] {
  const readme = readFileSync(join(EXAMPLES, name, 'README.md'), 'utf8')
  const [, block = ''] = /^```sh\n([^]*?)^```$/m.exec(readme) ?? []
  const [install, ...commands] = block.trim().split('\n')
  expect(install).toBe('npm install')
  return commands
}

const NAMES = readdirSync(EXAMPLES, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name)

for (const name of NAMES) {
  test(`examples/${name}`, { timeout: 60_000 }, async ({ skip }) => {
    const commands = commandsOf(name)
    const reason = reasonToSkip(name, commands)
    if (reason !== undefined) skip(reason)
    const modules = join(installed.directory, 'node_modules')
    for (const [library, path] of Object.entries(findLibraries(name))) link(modules, library, path ?? '')
    const directory = join(installed.directory, 'examples', name)
    cpSync(join(EXAMPLES, name), directory, { recursive: true, filter: (path) => !path.includes('node_modules') })
    symlinkSync(modules, join(directory, 'node_modules'))
    for (const command of commands) {
      const { code, stdout, stderr } = await execute('sh', ['-c', command], directory)
      expect({ command, code, output: code === 0 ? '' : stdout + stderr }).toEqual({ command, code: 0, output: '' })
    }
  })
}

/** Makes a library that is installed elsewhere one of the project, with its programs. */
function link(modules: string, library: string, path: string) {
  if (existsSync(join(modules, library))) return
  symlinkSync(path, join(modules, library))
  const { bin = {} } = JSON.parse(readFileSync(join(path, 'package.json'), 'utf8')) as {
    bin?: Record<string, string> | string
  }
  const programs = typeof bin === 'string' ? { [library]: bin } : bin
  for (const [program, file] of Object.entries(programs)) symlinkSync(join(path, file), join(modules, '.bin', program))
}

test('README.md and docs/embedded.md lead to every example', () => {
  const pages = ['README.md', 'docs/embedded.md'].map((path) => readFileSync(join(ROOT, path), 'utf8'))
  for (const name of NAMES) expect(pages.join('\n')).toContain(`examples/${name}`)
})
