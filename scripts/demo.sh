#!/bin/sh
# Build gdo and play journeys A and B with it, in a temporary directory.
#
#   KEEP=1 scripts/demo.sh        leaves the node running and prints what to try next
set -eu
. "$(dirname "$0")/env.sh"

scripts/deps.sh demo
# As the tests are built: what they and the demo share, RocksDB above all, is compiled once.
scripts/build.sh dev
say "playing journeys A and B"
GDO=$CARGO_TARGET_DIR/debug/gdo
export GDO
exec scripts/with-cgroups.sh tests/demo.sh
