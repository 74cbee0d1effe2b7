import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

const requireHere = createRequire(import.meta.url)

/**
 * For libraries that most processes never need: `load` is called when what this returns is called first, and not before,
 * so that start-up time and memory stay as they are without. When it throws, the next call tries again.
 */
export function late<Library>(load: () => Library): () => Library {
  let library: Library | undefined
  return () => (library ??= load())
}

/**
 * Loads a library that is CommonJS, or a file of one by its path.
 *
 * @throws Error if it is not there, or has no binary for this platform
 */
export function requireLibrary(name: string): unknown {
  return requireHere(name)
}

/** Makes the next `requireLibrary` of that path run its code anew, with nothing left of what it held. */
export function forgetLibrary(path: string): void {
  delete requireHere.cache[path]
}

/** The path of a file that lies beside the main file of a library. */
export function pathInLibrary(name: string, file: string): string {
  return join(dirname(requireHere.resolve(name)), file)
}

/** Reads a file that comes with a library, such as its WebAssembly. */
export function readLibraryFile(path: string): Buffer {
  return readFileSync(path)
}
