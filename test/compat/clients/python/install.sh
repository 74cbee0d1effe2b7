#!/usr/bin/env bash
# Installs the clients for Python into the folder given. Called by test/compat/install.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
target=$1
command -v python3 >/dev/null || { echo 'compat: no clients for Python: there is no python3'; exit 0; }

stamp="$(cat requirements.txt install.sh | sha256sum) $(python3 --version)"
[ "$(cat "$target/stamp" 2>/dev/null)" = "$stamp" ] && exit 0
rm -rf "$target"
mkdir -p "$target"
if ! python3 -m venv "$target/venv" >"$target/install.log" 2>&1; then
  echo 'compat: no clients for Python: python3 cannot make environments (apt-get install python3-venv)'
  exit 0
fi
# Only ready-made packages: what would have to be compiled is not worth it here.
if "$target/venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: -r requirements.txt \
  >>"$target/install.log" 2>&1; then
  echo "$stamp" >"$target/stamp"
else
  echo "compat: no clients for Python: they could not be installed, see $target/install.log"
fi
