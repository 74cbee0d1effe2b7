#!/usr/bin/env node
// The broker as a program. Exit codes: 0 stopped in order, 1 stopped at once because it was told twice or took too long,
// 2 bad usage or configuration, 5 a port or the data directory is in use, 70 the disk failed or the broker made a mistake.
//
// What is set here is read when libraries are loaded, so nothing else may be loaded before it.

// Syncs wait in the thread pool: with Node's four threads sixteen partitions have two thirds of their throughput.
process.env['UV_THREADPOOL_SIZE'] ??= '16'
// LMDB's package brings a serializer with native code of its own, which takes 7 ms to load. We store bytes.
process.env['MSGPACKR_NATIVE_ACCELERATION_DISABLED'] ??= 'true'

void import('./program.ts').then(({ run }) => run())
