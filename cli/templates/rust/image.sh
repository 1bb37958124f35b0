#!/bin/sh
# Make image/: an OCI layout of the program alone, linked statically. Needs: cargo
set -eu
umask 022
here=$(cd "$(dirname "$0")" && pwd -P)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS='-C target-feature=+crt-static' CARGO_TARGET_DIR="$root/target" \
    cargo build --quiet --release --target "$host" --manifest-path "$here/Cargo.toml"
mkdir -p "$root/image/bin" "$root/image/tmp"
cp "$root/target/$host/release/@NAME@" "$root/image/bin/validate"
strip "$root/image/bin/validate" 2>/dev/null || true
chmod 0755 "$root/image/bin/validate"
"$here/oci-layout.sh" "$root/image" "$here/image" /bin/validate
