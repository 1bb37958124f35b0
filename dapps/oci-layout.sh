#!/bin/sh
# Write an OCI image layout with one layer from a directory, the same bytes every time.
#
#   oci-layout.sh ROOT OUT [ENTRYPOINT...]
#
# ROOT is the image's root file system, OUT the layout to write (replaced), ENTRYPOINT the command
# that the image runs by default. The layer is an uncompressed tar: sorted names, uid and gid 0,
# mtime 0, no group or other write bits. Nothing in the layout names a time, a host or a user, so
# the digest of OUT/index.json depends on the content of ROOT alone. Needs GNU tar and sha256sum.
set -eu
umask 022
export LC_ALL=C

[ $# -ge 2 ] || { echo "usage: oci-layout.sh ROOT OUT [ENTRYPOINT...]" >&2; exit 2; }
root=$1 out=$2
shift 2
[ -d "$root" ] || { echo "oci-layout: $root: not a directory" >&2; exit 1; }
case $(uname -m) in
    x86_64) arch=amd64 ;;
    aarch64) arch=arm64 ;;
    *) echo "oci-layout: machine $(uname -m): expected x86_64 or aarch64" >&2; exit 1 ;;
esac

rm -rf "$out"
mkdir -p "$out/blobs/sha256"

# Moves a finished file to its place among the blobs and sets `digest` and `size`.
put_blob() {
    digest=$(sha256sum <"$1" | cut -d' ' -f1)
    size=$(wc -c <"$1" | tr -d ' ')
    mv "$1" "$out/blobs/sha256/$digest"
}

# Strings of the entrypoint go into JSON: only characters that need no escape are taken.
entrypoint=
for word in "$@"; do
    case $word in
        *[!A-Za-z0-9_./=:,@+-]*) echo "oci-layout: entrypoint '$word': unexpected character" >&2; exit 1 ;;
    esac
    entrypoint="$entrypoint${entrypoint:+,}\"$word\""
done

tar --format=ustar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner \
    --mode=u+rw,a+rX,go-w --hard-dereference -C "$root" -cf "$out/layer" .
put_blob "$out/layer"
layer=$digest layer_size=$size

printf '{"architecture":"%s","config":{"Entrypoint":[%s],"WorkingDir":"/"},"os":"linux","rootfs":{"diff_ids":["sha256:%s"],"type":"layers"}}' \
    "$arch" "$entrypoint" "$layer" >"$out/config"
put_blob "$out/config"
config=$digest config_size=$size

printf '{"config":{"digest":"sha256:%s","mediaType":"application/vnd.oci.image.config.v1+json","size":%s},"layers":[{"digest":"sha256:%s","mediaType":"application/vnd.oci.image.layer.v1.tar","size":%s}],"mediaType":"application/vnd.oci.image.manifest.v1+json","schemaVersion":2}' \
    "$config" "$config_size" "$layer" "$layer_size" >"$out/manifest"
put_blob "$out/manifest"

printf '{"manifests":[{"digest":"sha256:%s","mediaType":"application/vnd.oci.image.manifest.v1+json","platform":{"architecture":"%s","os":"linux"},"size":%s}],"mediaType":"application/vnd.oci.image.index.v1+json","schemaVersion":2}' \
    "$digest" "$arch" "$size" >"$out/index.json"
printf '{"imageLayoutVersion":"1.0.0"}' >"$out/oci-layout"
