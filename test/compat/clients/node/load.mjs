import { createRequire } from 'node:module'

/** Imports a library from where install.sh has put it, which is not beside the agents. */
export const load = createRequire(new URL('../../.installed/node/', import.meta.url))
