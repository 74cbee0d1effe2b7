#!/usr/bin/env bash
# Builds the clients for Go into the folder given. Called by test/compat/install.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
target=$1
command -v go >/dev/null || { echo 'compat: no clients for Go: there is no go'; exit 0; }

stamp="$(find . -type f | sort | xargs cat | sha256sum) $(go version)"
[ "$(cat "$target/stamp" 2>/dev/null)" = "$stamp" ] && exit 0
rm -rf "$target"
mkdir -p "$target/bin"
if go build -mod=readonly -trimpath -ldflags '-s -w' -o "$target/bin/" ./... >"$target/install.log" 2>&1; then
  echo "$stamp" >"$target/stamp"
else
  echo "compat: no clients for Go: they could not be built, see $target/install.log"
fi
