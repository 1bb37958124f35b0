#!/bin/sh
# Copy the built binary and its dapps below a prefix.
#
#   scripts/install.sh PREFIX
set -eu
. "$(dirname "$0")/env.sh"

prefix=${1:?usage: scripts/install.sh PREFIX}
install -d "$prefix/bin" "$prefix/share/gdo"
install -m 0755 "$CARGO_TARGET_DIR/release/gdo" "$prefix/bin/gdo"
rm -rf "$prefix/share/gdo/dapps" "$prefix/share/gdo/templates"
cp -R "$GDO_SHARE/dapps" "$GDO_SHARE/templates" "$prefix/share/gdo/"
say "installed $prefix/bin/gdo and $prefix/share/gdo"
