#!/bin/sh
# Build the binary and the dapps that it ships.
#
#   scripts/build.sh [PROFILE]        (default: release)
set -eu
. "$(dirname "$0")/env.sh"

profile=${1:-release}
say "building the dapps into $GDO_SHARE"
dapps/build.sh "$GDO_SHARE" >&2
say "building gdo ($profile; the first time takes twenty minutes or so, most of them for RocksDB)"
cargo build --locked --profile "$profile" -p gdo
