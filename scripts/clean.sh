#!/bin/sh
# Remove what was built: the target directory of cargo with the dapps in it.
set -eu
. "$(dirname "$0")/env.sh"

cargo clean
rm -rf "$GDO_SHARE"
