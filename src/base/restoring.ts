/**
 * The folder of a data directory in which a restore gathers what belongs there. It goes last: while it is there, the
 * directory has not all that it should have, and no broker may use it.
 */
export const RESTORING_DIRECTORY = '@restoring'
