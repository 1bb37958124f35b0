#!/bin/sh
# Prove that two builds of the dapps from two directories give the same bytes.
#
#   dapps/reproducible.sh [FIRST]
#
# FIRST is the OUT of an earlier dapps/build.sh of this checkout (default: one is made). The second
# build runs in a copy of the sources under another path, of another length, with a target
# directory of its own, so nothing is shared but the toolchain and cargo's registry.
set -eu
here=$(cd "$(dirname "$0")" && pwd -P)
top=$(dirname "$here")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

first=${1:-$work/first}
[ -d "$first/dapps" ] || "$here/build.sh" "$first"

copy="$work/another place/with a longer path"
mkdir -p "$copy"
(cd "$top" && tar -cf - --exclude=./target --exclude=./share --exclude=./.git --exclude=./dapps/shell-example/image .) |
    tar -xf - -C "$copy"
CARGO_TARGET_DIR="$work/target" "$copy/dapps/build.sh" "$work/second"

if diff -r "$first/dapps" "$work/second/dapps"; then
    echo "reproducible: ok, $(find "$work/second/dapps" -type f | wc -l) files are the same"
else
    echo "reproducible: the builds differ" >&2
    exit 1
fi
