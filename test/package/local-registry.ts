import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { basename, dirname, join } from 'node:path'

/** A package as it lies in node_modules. */
interface Installed {
  readonly directory: string
  readonly manifest: Readonly<Record<string, unknown>> & { readonly name: string; readonly version: string }
}

/** A registry on the loopback interface that has the packages which are installed in the checkout, and no others. */
export interface LocalRegistry {
  readonly url: string
  close(): void
}

/** Serves to npm what `root/node_modules` holds, so that it can install without a network. */
export async function startLocalRegistry(root: string): Promise<LocalRegistry> {
  const packages = findInstalled(root)
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url ?? '').slice(1)
    if (path.startsWith('-/')) {
      const [name, version] = path.slice(2).split(/@(?=[^@/]+$)/)
      const found = packages.get(name)?.find(({ manifest }) => manifest.version === version)
      if (found === undefined) return void response.writeHead(404).end()
      response.writeHead(200, { 'content-type': 'application/octet-stream' })
      return void pack(found.directory).pipe(response)
    }
    const found = packages.get(path)
    // Those for other machines are not here; npm does without them.
    if (found === undefined) return void response.writeHead(404, { 'content-type': 'application/json' }).end('{}')
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(describe(found, url)))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  return {
    url,
    close() {
      server.closeAllConnections()
      server.close()
    },
  }
}

function findInstalled(root: string): Map<string, Installed[]> {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, object>
  }
  const found = new Map<string, Installed[]>()
  for (const path of Object.keys(packages)) {
    const directory = join(root, path)
    if (path === '' || !existsSync(join(directory, 'package.json'))) continue
    const manifest = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as Installed['manifest']
    found.set(manifest.name, [...(found.get(manifest.name) ?? []), { directory, manifest }])
  }
  return found
}

/** What the registry protocol calls a packument. */
function describe(versions: readonly Installed[], url: string): object {
  const [{ manifest }] = versions
  return {
    name: manifest.name,
    'dist-tags': { latest: manifest.version },
    versions: Object.fromEntries(
      versions.map(({ manifest: { name, version, ...more } }) => {
        const tarball = `${url}-/${encodeURIComponent(`${name}@${version}`)}`
        return [version, { name, version, ...more, dist: { tarball } }]
      }),
    ),
  }
}

function pack(directory: string): NodeJS.ReadableStream {
  const name = basename(directory)
  // npm takes whatever the uppermost folder is called.
  const args = ['-czf', '-', '-C', dirname(directory), `--exclude=${name}/node_modules`, name]
  return spawn('tar', args, { stdio: ['ignore', 'pipe', 'ignore'] }).stdout
}
