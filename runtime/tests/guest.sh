#!/bin/sh
# Runs this crate's tests on Debian's kernel in a virtual machine, where control groups are of
# version 2 alone: what most machines have and a machine with version 1 cannot show.
#
# usage: runtime/tests/guest.sh [FILTER…]     a filter as `cargo test` takes it; default: contract,
#                                             break-outs, lifecycle, ordinary users
# GDO_GUEST_ACCEL=kvm is faster where the machine can nest (default tcg: emulated, some minutes).
# Needs qemu-system-x86, cargo, busybox-static and an apt that knows linux-image-cloud-amd64.
set -eu
cd "$(dirname "$0")/../.."
for tool in qemu-system-x86_64 busybox cargo dpkg-deb apt-get strip; do
    command -v "$tool" >/dev/null || { echo "guest.sh: $tool is missing: apt-get install qemu-system-x86 busybox-static binutils" >&2; exit 1; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# What the machine itself has to build first is built here: the guest has no compiler.
[ $# -gt 0 ] || set -- contract breakout lifecycle rootless
built=$(cargo test --offline -p gdo-runtime --test it --no-run 2>&1) || { echo "$built" >&2; exit 1; }
tests=$(echo "$built" | sed -n 's/.*Executable tests.it.main.rs (\(.*\))$/\1/p')
helper=$(dirname "$tests")/../gdo-sandbox-helper

kernel=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends:/ { print $2; exit }')
(cd "$work" && apt-get download "$kernel" >/dev/null 2>&1) ||
    { echo "guest.sh: cannot download $kernel: run apt-get update" >&2; exit 1; }
dpkg-deb -x "$work"/linux-image-*.deb "$work/kernel"

root=$work/root
mkdir -p "$root/bin" "$root/etc" "$root/proc" "$root/newroot" "$root/test"
cp "$tests" "$root/test/it"
cp "$helper" "$root/test/helper"
strip "$root/test/it" "$root/test/helper"
cp "$(command -v busybox)" "$root/bin/busybox"
for applet in sh mount mkdir cp chmod poweroff switch_root kill ls cat; do
    ln -s busybox "$root/bin/$applet"
done
for program in "$tests" "$helper" setpriv unshare find; do
    case $program in /*) ;; *) program=$(command -v "$program") && cp "$program" "$root/bin/" ;; esac
    ldd "$program" | grep -o '/[^ ]*' | while read -r library; do
        mkdir -p "$root$(dirname "$library")"
        cp -L "$library" "$root$library"
    done
done
echo 'root:x:0:0::/:/bin/sh' >"$root/etc/passwd"
echo "$*" >"$root/test/filter"
# A container needs a root that can be pivoted, which the first file system of a machine is not.
cat >"$root/init" <<'EOF'
#!/bin/sh
export PATH=/bin
mount -t tmpfs -o size=75% root /newroot
for entry in /*; do
    case $entry in /newroot | /proc | /dev | /sys) ;; *) cp -a "$entry" /newroot/ ;; esac
done
mkdir -p /newroot/proc /newroot/sys /newroot/dev /newroot/tmp /newroot/run
exec switch_root /newroot /second
EOF
cat >"$root/second" <<'EOF'
#!/bin/sh
export PATH=/bin GDO_TEST_HELPER=/test/helper
chmod 1777 /tmp
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs run /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
cd /test
# The one that is skipped needs a compiler; what it shows does not depend on control groups.
./it --test-threads 2 --skip system_calls_that_lead_out $(cat filter) 2>&1 && echo guest: ok
poweroff -f
EOF
chmod 755 "$root/init" "$root/second"
(cd "$root" && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1) >"$work/initrd"

processor=max
[ "${GDO_GUEST_ACCEL:-tcg}" = tcg ] || processor=host
timeout "${GDO_GUEST_SECONDS:-1800}" qemu-system-x86_64 -accel "${GDO_GUEST_ACCEL:-tcg}" \
    -cpu "$processor" -smp 2 -m 3072 -nographic -no-reboot -nic none \
    -kernel "$work"/kernel/boot/vmlinuz-* -initrd "$work/initrd" \
    -append "console=ttyS0 quiet panic=-1" </dev/null | tee "$work/log"
grep -q '^guest: ok' "$work/log"
