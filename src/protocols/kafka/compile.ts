import { compileFunction } from 'node:vm'

import { generateReader } from './generate-reader.ts'
import { generateWriter } from './generate-writer.ts'
import type { MessageForm } from './layout.ts'
import type { Reader } from './reader.ts'
import type { Fields, ReadMessage, WrittenMessage } from './schema.ts'
import type { Writer } from './writer.ts'

// A table of fields becomes code for one version of its API: what reads a message, and what writes one.
//
// The code is written out as JavaScript, one function for each struct and array, much as somebody would write it by
// hand, and then handed to the engine; compile.test.ts shows an example. To go through the table anew for each message
// would take several times as long. The code is made of our own tables alone: nothing from outside gets into it.

/** Makes the function that reads a message. */
export function compileReader<F extends Fields>(fields: F, form: MessageForm): (reader: Reader) => ReadMessage<F> {
  return run(form, generateReader(fields, form)) as (reader: Reader) => ReadMessage<F>
}

/** Makes the function that writes a message. */
export function compileWriter<F extends Fields>(
  fields: F,
  form: MessageForm,
): (writer: Writer, message: WrittenMessage<F>) => void {
  return run(form, generateWriter(fields, form)) as (writer: Writer, message: WrittenMessage<F>) => void
}

/** Runs the code. The name of the message stands for the file in stack traces. */
function run(form: MessageForm, code: string): unknown {
  const body = compileFunction(code, ['NO_BYTES'], { filename: form.name }) as (noBytes: Buffer) => unknown
  return body(NO_BYTES)
}

const NO_BYTES = Buffer.alloc(0)
