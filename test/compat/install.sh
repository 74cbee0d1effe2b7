#!/usr/bin/env bash
# Installs the foreign clients that the tests under test/compat run, for every toolchain that is there:
#   install.sh [node] [python] [go] [java]      all of them without a word
# It says what it cannot install, and why; the tests of that are then skipped, and say so too. An error is an error.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(node python go java)
for part in "${parts[@]}"; do
  [ -x "clients/$part/install.sh" ] || continue
  "clients/$part/install.sh" "$PWD/.installed/$part"
done
