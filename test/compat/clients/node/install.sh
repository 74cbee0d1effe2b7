#!/usr/bin/env bash
# Installs the clients for Node.js into the folder given. Called by test/compat/install.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
target=$1
command -v npm >/dev/null || { echo 'compat: no clients for Node.js: there is no npm'; exit 0; }
mkdir -p "$target"

# @confluentinc/kafka-javascript brings the source of librdkafka along, which takes a minute to compile: it is done once for
# each version of it and of Node.js.
package=node_modules/@confluentinc/kafka-javascript
confluent="$(grep -A1 "\"$package\"" package-lock.json | tail -1) $(node -v)"
[ "$(cat "$target/confluent.stamp" 2>/dev/null)" = "$confluent" ] || rm -f "$target/confluent.stamp"

stamp="$(cat package-lock.json install.sh | sha256sum) $(node -v)"
if [ "$(cat "$target/stamp" 2>/dev/null)" != "$stamp" ]; then
  rm -rf "$target/stamp" "$target/kept"
  [ ! -f "$target/confluent.stamp" ] || mv "$target/$package" "$target/kept"
  cp package.json package-lock.json "$target/"
  # The one package with an install script would fetch a binary from the network: it is built from source below.
  (cd "$target" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
  if [ -d "$target/kept" ]; then
    rm -rf "${target:?}/$package"
    mv "$target/kept" "$target/$package"
  fi
  echo "$stamp" >"$target/stamp"
fi

# Its own build wants one job for the first step and as many as there are files for the second: this makes librdkafka first,
# at its own pace, and then the addon. Less optimized, and without what no test needs: the time goes into compiling.
build_confluent() {
  cd "$target/$package"
  rm -rf build
  export CKJS_LINKING=dynamic JOBS=2 CFLAGS=-O0 CXXFLAGS=-O0
  ./configure --disable-optimization --disable-ssl --disable-gssapi --disable-curl --prefix="$PWD/build/deps" \
    --libdir="$PWD/build/deps"
  make -s -j2 -C deps/librdkafka/src librdkafka.so.1
  make -s -j2 -C deps/librdkafka/src-cpp librdkafka++.so.1
  npm_config_build_from_source=true npm --prefix "$target" rebuild @confluentinc/kafka-javascript --foreground-scripts
  node -e 'require(process.argv[1])' "$target/$package"
}

[ -f "$target/confluent.stamp" ] && exit 0
for tool in gcc g++ make python3; do
  command -v "$tool" >/dev/null && continue
  echo "compat: no confluent-javascript: its C library must be compiled, and there is no $tool (apt-get install build-essential zlib1g-dev libzstd-dev python3)"
  exit 0
done
if (build_confluent) >"$target/confluent.log" 2>&1; then
  echo "$confluent" >"$target/confluent.stamp"
else
  echo "compat: no confluent-javascript: it could not be built, see $target/confluent.log"
fi
