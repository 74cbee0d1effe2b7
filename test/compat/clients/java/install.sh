#!/usr/bin/env bash
# install.sh TARGET: Kafka's Java artifacts into TARGET/lib and the programs beside this file, compiled, into
# TARGET/classes. Does nothing without a JDK and Maven, and nothing when all is there already.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
target=${1:?TARGET}

if ! command -v mvn >/dev/null || ! command -v javac >/dev/null; then
  echo 'java: no Maven or no JDK (apt-get install maven openjdk-17-jdk-headless): nothing installed' >&2
  exit 0
fi

# $1: a stamp file, the rest: what it stands for. Whether all of that is as it was.
is_current() {
  [ -f "$1" ] && [ "$(cat "$1")" = "$(cat "${@:2}" | sha256sum)" ]
}

mkdir -p "$target"
if ! is_current "$target/lib.stamp" pom.xml; then
  rm -rf "$target/lib" "$target/classes.stamp"
  mvn --batch-mode --quiet --no-transfer-progress \
    org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies -DoutputDirectory="$target/lib"
  cat pom.xml | sha256sum >"$target/lib.stamp"
fi
if ! is_current "$target/classes.stamp" ./*.java log4j2.properties; then
  rm -rf "$target/classes"
  mkdir "$target/classes"
  javac -Xlint:all,-processing,-classfile -Werror -cp "$target/lib/*" -d "$target/classes" ./*.java
  cp log4j2.properties "$target/classes"
  cat ./*.java log4j2.properties | sha256sum >"$target/classes.stamp"
fi
