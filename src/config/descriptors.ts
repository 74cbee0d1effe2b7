import { readFileSync } from 'node:fs'

/** What is assumed where the system does not say: every system that Node runs on allows so many. */
const DESCRIPTORS_ASSUMED = 1024

/** How many files and sockets this process may have open. Node has raised the soft limit to the hard one at its start. */
export function readDescriptorsMax(): number {
  try {
    const match = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8'))
    if (match !== null) return match[1] === 'unlimited' ? Number.MAX_SAFE_INTEGER : Number(match[1])
  } catch {
    // Not Linux.
  }
  return DESCRIPTORS_ASSUMED
}
