#!/bin/sh
# Make image/: an OCI layout of Debian's python3-minimal, as it is installed here, and validate.py.
#
# Needs: apt install python3-minimal. The image is larger than a ledger takes by default: the policy
# must raise limits.blob_bytes_max for it. On another release of Debian it has another digest.
set -eu
umask 022
here=$(cd "$(dirname "$0")" && pwd -P)
python=$(readlink -f /usr/bin/python3) || python=
package=$(dpkg -S "$python" 2>/dev/null | cut -d: -f1)
[ -n "$package" ] || { echo "image: expected Debian's /usr/bin/python3; apt install python3-minimal" >&2; exit 1; }

# The package and all that it needs.
packages=$package
while :; do
    more=$(dpkg-query -W -f '${Depends}, ${Pre-Depends}\n' $packages |
        tr ',|' '\n\n' | sed 's/(.*//; s/:.*//; s/ //g' | sort -u)
    all=$(for name in $packages $more; do
        dpkg-query -W -f '${Package} ${db:Status-Status}\n' "$name" 2>/dev/null
    done | sed -n 's/ installed$//p' | grep -vE '^(dpkg|debconf|install-info|media-types|mailcap|netbase|tzdata)$' | sort -u)
    [ "$all" != "$packages" ] || break
    packages=$all
done

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
dpkg -L $packages | sort -u | grep -vE '^/usr/(share|include|sbin)(/|$)|^/(etc|var)(/|$)|^/\.$|\.pyc$' |
    while IFS= read -r file; do [ -e "$file" ] && [ ! -d "$file" ] && echo "${file#/}"; done |
    tar -C / --no-recursion -h -cf - -T - | tar -C "$root" -xf -
mkdir -p "$root/tmp" "$root/lib64"
[ -e "$root/usr/bin/python3" ] || ln -s "${python##*/}" "$root/usr/bin/python3"
cp "$here/validate.py" "$root/validate.py"
chmod 0644 "$root/validate.py"
"$here/oci-layout.sh" "$root" "$here/image" /usr/bin/python3 -I -B /validate.py
