#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { run } from './program.ts'

// Both this file's places after a build, dist/cli and dist/bin, are two folders below the package.
const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string
}

// Not `await`: the bundle is CommonJS, which starts sooner.
void run(process, process.argv.slice(2), version).then((status) => process.exit(status))
