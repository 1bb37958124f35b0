#!/bin/sh
# Build the dapps that ship with gdo as static binaries in scratch images.
#
#   dapps/build.sh [OUT]        (default: share/gdo in the checkout)
#
# Writes OUT/dapps/<name>/{dapp.toml,README.md,image/} for every dapp of the workspace, and OUT/templates/.
# The binaries hold no path of this machine (remapped), no build id and no symbol, so that two
# checkouts give the same index.json with the same toolchain. Only the target's code gets the flags: `--target` keeps
# build scripts and proc macros out of it. CARGO_TARGET_DIR is respected; CARGO_FLAGS may hold more
# flags for cargo (`--offline`).
set -eu
umask 022

here=$(cd "$(dirname "$0")" && pwd -P)
top=$(dirname "$here")
out=${1:-$top/share/gdo}
target_dir=${CARGO_TARGET_DIR:-$top/target}
cargo_home=${CARGO_HOME:-$HOME/.cargo}
triple=$(rustc -vV | sed -n 's/^host: //p')
us=$(printf '\037')

# Cargo's encoded form splits at 0x1f: directories may have spaces.
unset RUSTFLAGS
CARGO_ENCODED_RUSTFLAGS="-Ctarget-feature=+crt-static${us}-Clink-arg=-Wl,--build-id=none${us}--remap-path-prefix=$top=/gdo${us}--remap-path-prefix=$cargo_home=/cargo"
export CARGO_ENCODED_RUSTFLAGS

names="policy accounting"
packages=
for name in $names; do packages="$packages -p gdo-dapp-$name"; done
# shellcheck disable=SC2086  # lists of words
(cd "$top" && cargo build --locked ${CARGO_FLAGS:-} --profile dapp --target "$triple" \
    --target-dir "$target_dir" $packages)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out/dapps"
rm -rf "$out/templates"
cp -R "$here/templates" "$out/templates"
for name in $names; do
    binary=$target_dir/$triple/dapp/gdo-dapp-$name
    mkdir -p "$work/$name/bin"
    cp "$binary" "$work/$name/bin/$name"
    chmod 0755 "$work/$name/bin/$name"
    rm -rf "$out/dapps/$name"
    mkdir -p "$out/dapps/$name"
    cp "$here/$name/dapp.toml" "$here/$name/README.md" "$out/dapps/$name/"
    "$here/oci-layout.sh" "$work/$name" "$out/dapps/$name/image" "/bin/$name" validate
    echo "$name: $(wc -c <"$binary") bytes, index.json sha256 $(sha256sum <"$out/dapps/$name/image/index.json" | cut -d' ' -f1)"
done
