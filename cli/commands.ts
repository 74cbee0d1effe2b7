import type { Command } from './command.ts'

/** Every command by its words. A command's code is loaded only when it is called, or its help is shown. */
export const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  'topic create': async () => (await import('./topic-create.ts')).topicCreate,
  'topic list': async () => (await import('./topic-list.ts')).topicList,
  'topic describe': async () => (await import('./topic-describe.ts')).topicDescribe,
  'topic alter': async () => (await import('./topic-alter.ts')).topicAlter,
  'topic offsets': async () => (await import('./topic-offsets.ts')).topicOffsets,
  'topic delete': async () => (await import('./topic-delete.ts')).topicDelete,
  produce: async () => (await import('./produce.ts')).produce,
  consume: async () => (await import('./consume.ts')).consume,
  'consumer list': async () => (await import('./consumer-list.ts')).consumerList,
  'consumer describe': async () => (await import('./consumer-describe.ts')).consumerDescribe,
  'consumer lag': async () => (await import('./consumer-lag.ts')).consumerLag,
  'consumer peek': async () => (await import('./consumer-peek.ts')).consumerPeek,
  'consumer reset': async () => (await import('./consumer-reset.ts')).consumerReset,
  'consumer export': async () => (await import('./consumer-export.ts')).consumerExport,
  'consumer delete': async () => (await import('./consumer-delete.ts')).consumerDelete,
  'consumer offset-delete': async () => (await import('./consumer-delete.ts')).consumerOffsetDelete,
  'schedule list': async () => (await import('./schedules.ts')).scheduleList,
  'schedule get': async () => (await import('./schedules.ts')).scheduleGet,
  'schedule cancel': async () => (await import('./schedules.ts')).scheduleCancel,
  'schedule reschedule': async () => (await import('./schedules.ts')).scheduleReschedule,
  'schedule send-now': async () => (await import('./schedules.ts')).scheduleSendNow,
  'schema get': async () => (await import('./schema-get.ts')).schemaGet,
  'schema set': async () => (await import('./schema-set.ts')).schemaSet,
  'schema unset': async () => (await import('./schema-set.ts')).schemaUnset,
  'schema check': async () => (await import('./schema-check.ts')).schemaCheck,
  'schema validate': async () => (await import('./schema-validate.ts')).schemaValidate,
  'dlq list': async () => (await import('./dlq-list.ts')).dlqList,
  'dlq show': async () => (await import('./dlq-list.ts')).dlqShow,
  'dlq check': async () => (await import('./dlq-check.ts')).dlqCheck,
  'dlq redrive': async () => (await import('./dlq-redrive.ts')).dlqRedrive,
  'dlq discard': async () => (await import('./dlq-redrive.ts')).dlqDiscard,
  'dlq history': async () => (await import('./dlq-redrive.ts')).dlqHistory,
  'dlq cancel': async () => (await import('./dlq-redrive.ts')).dlqCancel,
  snapshot: async () => (await import('./snapshot.ts')).snapshot,
  'snapshot verify': async () => (await import('./snapshot.ts')).snapshotVerify,
  restore: async () => (await import('./restore.ts')).restore,
  'schema diff': async () => (await import('./schema-diff.ts')).schemaDiff,
  'schema infer': async () => (await import('./schema-infer.ts')).schemaInfer,
  'broker log-level': async () => (await import('./log-level.ts')).brokerLogLevel,
  'log dump': async () => (await import('./log-dump.ts')).logDump,
  'log verify': async () => (await import('./log-verify.ts')).logVerify,
  health: async () => (await import('./health.ts')).health,
  version: async () => (await import('./version.ts')).version,
  completion: async () => (await import('./completion.ts')).completion,
  help: async () => (await import('./help.ts')).help,
  complete: async () => (await import('./complete.ts')).complete,
}

/** What the groups of commands are about. */
export const GROUPS: Readonly<Record<string, string>> = {
  topic: 'create, look at, change and delete topics',
  consumer: 'consumer groups: their members, committed offsets and lag',
  schedule: 'records that wait until they are due: look, move, send, cancel',
  schema: "JSON Schema of a topic's records: look, try, set, compare, infer",
  dlq: 'dead letters: look, check, repair, send again, discard',
  snapshot: 'copies of everything that a broker keeps',
  broker: 'settings of the broker while it runs',
  log: 'read the files of a stopped broker',
}

/** Other words for the same: kubectl's, rpk's and Kafka's users bring them. */
export const ALIASES: Readonly<Record<string, string>> = {
  group: 'consumer',
  ls: 'list',
  info: 'describe',
  rm: 'delete',
}

/** Loads all commands whose words begin with `prefix`, in the order of the table. */
export async function loadCommands(prefix: readonly string[] = []): Promise<Command[]> {
  const loaders = Object.entries(COMMANDS).filter(([name]) => isPrefix(prefix, name.split(' ')))
  return Promise.all(loaders.map(([, load]) => load()))
}

/** Whether there are commands whose words begin with these. */
export function isCommandPrefix(words: readonly string[]): boolean {
  return Object.keys(COMMANDS).some((name) => isPrefix(words, name.split(' ')))
}

function isPrefix(prefix: readonly string[], words: readonly string[]) {
  return prefix.every((word, index) => word === words[index])
}
