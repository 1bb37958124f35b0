#!/bin/sh
# Build this dapp's image: a static busybox and validate.sh, nothing else.
#
#   image.sh [OUT]      (default: image beside this script)
#
# Needs Debian's busybox-static and the script oci-layout.sh, beside this one or above it.
set -eu
umask 022
here=$(cd "$(dirname "$0")" && pwd -P)
out=${1:-$here/image}
busybox=${BUSYBOX:-/bin/busybox}

[ -x "$busybox" ] || { echo "image: $busybox: no such program; apt install busybox-static" >&2; exit 1; }
if ldd "$busybox" >/dev/null 2>&1; then
    echo "image: $busybox is not static and would not start in a bare image; apt install busybox-static" >&2
    exit 1
fi
writer=$here/oci-layout.sh
[ -x "$writer" ] || writer=$here/../oci-layout.sh

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/bin" "$root/tmp"
cp "$busybox" "$root/bin/busybox"
for tool in sh find sort head rm; do ln -s busybox "$root/bin/$tool"; done
cp "$here/validate.sh" "$root/bin/validate"
chmod 0755 "$root/bin/busybox" "$root/bin/validate"
"$writer" "$root" "$out" /bin/sh /bin/validate
