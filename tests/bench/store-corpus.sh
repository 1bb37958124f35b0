#!/bin/bash
# Makes what the chunk store is measured with, as far as it is not there.
#
#   tests/bench/store-corpus.sh DIR        needs mmdebstrap (as root), npm and python3
#
# DIR/rootfs: six root file systems of one Debian release, from bare to full. DIR/text: releases of
# npm packages as plain tar archives, three versions of each kind. DIR/edits: six versions of 64 MiB
# that do not compress, each with 30 small changes.
set -euo pipefail
export LC_ALL=C

dir=${1:?usage: tests/bench/store-corpus.sh DIR}
suite=${SUITE:-bookworm}
mkdir -p "$dir/rootfs" "$dir/text" "$dir/edits"
cd "$dir"
say() { printf '==> %s\n' "$*" >&2; }

# Name, variant and packages of a root file system.
root() {
    local out=rootfs/$1.tar
    [ -e "$out" ] && return
    say "making the root file system $1"
    mmdebstrap --quiet --variant="$2" ${3:+--include="$3"} "$suite" "$out.new.tar"
    mv "$out.new.tar" "$out"
}
root 1-minimal minbase ''
root 2-python minbase python3,python3-requests
root 3-standard debootstrap ''
root 4-web minbase systemd,systemd-sysv,openssh-server,nginx
root 5-git minbase git,curl,python3,openssh-client,ca-certificates
root 6-full minbase python3,nginx,git,systemd,systemd-sysv,openssh-server,curl

for release in typescript@{4.9.5,5.4.5,5.8.3} monaco-editor@{0.36.1,0.44.0,0.52.2} \
    aws-sdk@{2.1400.0,2.1550.0,2.1692.0} next@{13.5.6,14.2.5} three@{0.150.0,0.170.0}; do
    out=text/$release.tar
    [ -e "$out" ] && continue
    say "fetching $release"
    archive=$(cd text && npm pack --silent "$release")
    gzip -dc "text/$archive" >"$out.new"
    rm "text/$archive"
    mv "$out.new" "$out"
done

[ -e edits/6.bin ] || { say "making data that does not compress"; python3 - <<'PYTHON'; }
import random

noise = random.Random(2026)
data = bytearray(noise.randbytes(64 << 20))
for version in range(1, 7):
    with open(f"edits/{version}.bin", "wb") as out:
        out.write(data)
    for change in range(30):
        at = noise.randrange(len(data))
        kind = change % 3
        if kind == 0:
            data[at:at] = noise.randbytes(noise.randrange(3000))
        elif kind == 1:
            del data[at : at + noise.randrange(3000)]
        else:
            data[at : at + 40] = noise.randbytes(40)
PYTHON
