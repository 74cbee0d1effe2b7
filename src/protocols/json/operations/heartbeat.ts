import type { Operation } from '../context.ts'

/** Says that the broker is there. */
export const heartbeat: Operation<'HEARTBEAT'> = () => ({ ok: true })
