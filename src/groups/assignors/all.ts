import type { Assignor } from './assignor.ts'
import { assignRanges } from './range.ts'
import { assignUniformly } from './uniform.ts'

/** The assignors that members of consumer groups can ask for. */
export const ASSIGNORS = { uniform: assignUniformly, range: assignRanges } as const satisfies Record<string, Assignor>

export type AssignorName = keyof typeof ASSIGNORS

export const DEFAULT_ASSIGNOR: AssignorName = 'uniform'

export function isAssignorName(name: string): name is AssignorName {
  return Object.hasOwn(ASSIGNORS, name)
}
