#!/bin/sh
# Copy the built programs and their dapps below a prefix.
#
#   scripts/install.sh PREFIX
set -eu
. "$(dirname "$0")/env.sh"

prefix=${1:?usage: scripts/install.sh PREFIX}
install -d "$prefix/bin" "$prefix/share/gdo"
for program in gdo gdo-helper; do
    install -m 0755 "$CARGO_TARGET_DIR/release/$program" "$prefix/bin/$program"
done
rm -rf "$prefix/share/gdo/dapps" "$prefix/share/gdo/templates"
cp -R "$GDO_SHARE/dapps" "$GDO_SHARE/templates" "$prefix/share/gdo/"
say "installed $prefix/bin/gdo, $prefix/bin/gdo-helper and $prefix/share/gdo"
