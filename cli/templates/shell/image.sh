#!/bin/sh
# Make image/: an OCI layout of a static busybox and validate.sh. Needs: apt install busybox-static
set -eu
umask 022
here=$(cd "$(dirname "$0")" && pwd -P)
busybox=${BUSYBOX:-/bin/busybox}
if [ ! -x "$busybox" ] || ldd "$busybox" >/dev/null 2>&1; then
    echo "image: expected a static $busybox; apt install busybox-static" >&2
    exit 1
fi
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/bin" "$root/tmp"
cp "$busybox" "$root/bin/busybox"
for tool in sh find sort head; do ln -s busybox "$root/bin/$tool"; done
cp "$here/validate.sh" "$root/bin/validate"
chmod 0755 "$root/bin/busybox" "$root/bin/validate"
"$here/oci-layout.sh" "$root" "$here/image" /bin/sh /bin/validate
