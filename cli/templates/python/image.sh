#!/bin/sh
# Make image/: an OCI layout of Debian's Python, as it is installed here, and validate.py.
#
# Needs: apt install python3. The image is larger than a ledger takes by default: the policy
# must raise limits.blob_bytes_max for it. On another release of Debian it has another digest.
set -eu
umask 022
here=$(cd "$(dirname "$0")" && pwd -P)
python=$(readlink -f /usr/bin/python3) || python=
package=$(dpkg -S "$python" 2>/dev/null | cut -d: -f1)
version=${python##*/python}
[ -n "$package" ] || { echo "image: expected Debian's /usr/bin/python3; apt install python3" >&2; exit 1; }

# The interpreter, its library, and the shared libraries that they need.
packages="$package libpython$version-minimal libpython$version-stdlib libc6 libgcc-s1 zlib1g libexpat1
    libssl3 libbz2-1.0 liblzma5 libffi8 libcrypt1 libuuid1 libsqlite3-0"
installed=$(for name in $packages; do
    dpkg-query -W -f '${binary:Package} ${db:Status-Status}\n' "$name" 2>/dev/null
done | sed -n 's/ installed$//p')
case $installed in
    *stdlib*) ;;
    *) echo "image: expected libpython$version-stdlib; apt install python3" >&2; exit 1 ;;
esac

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
dpkg -L $installed | sort -u |
    grep -vE '^/usr/(share|include|sbin)/|^/(etc|var)/|/gconv/|/(lib2to3|ensurepip|distutils|pydoc_data)/|\.pyc$' |
    while IFS= read -r file; do [ -e "$file" ] && [ ! -d "$file" ] && echo "${file#/}"; done |
    tar -C / --no-recursion -h -cf - -T - | tar -C "$root" -xf -
mkdir -p "$root/tmp" "$root/lib64"
[ -e "$root/usr/bin/python3" ] || ln -s "${python##*/}" "$root/usr/bin/python3"
cp "$here/validate.py" "$root/validate.py"
chmod 0644 "$root/validate.py"
"$here/oci-layout.sh" "$root" "$here/image" /usr/bin/python3 -I -B /validate.py
