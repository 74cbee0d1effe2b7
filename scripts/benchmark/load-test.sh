#!/usr/bin/env bash
# Puts load on a running broker and reports how long its answers took:
#   ./scripts/benchmark/load-test.sh --topics 5 --rate 1000msg/s
# All options: --help. The program itself is bench/load-test.ts; this finds and starts it from any folder.
set -euo pipefail

root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/../.." && pwd)
program=$root/dist/bench/load-test.js

if ! command -v node >/dev/null; then
  printf '✗ cannot find node\n  Node.js 20.19 or later runs the load test:  https://nodejs.org\n  code NO_NODE (exit 1)\n' >&2
  exit 1
fi
if [[ ! -f $program ]]; then
  printf '✗ the load test is not built\n  Build it once:  (cd %q && npm ci)\n  code NOT_BUILT (exit 1)\n' "$root" >&2
  exit 1
fi
exec node "$program" "$@"
