#!/bin/sh
# Every note starts with a title ("# ...") and is never emptied or deleted.
#
#   validate [ROOT]      ROOT (default /gdo) holds base/, candidate/ and, if there is one, out/
#
# Exit 0 is pass, 1 is fail. Whatever this script did not decide must be neither, so the trap turns
# any other end, an error of the shell included, into 70.
set -eu
verdict=70
trap 'exit $verdict' EXIT

root=${1:-/gdo}
cd "$root/candidate"
problems=

# Neither path nor message needs escaping: a ledger's paths hold no quote and no backslash.
problem() {
    echo "$1:$2: $4 [$3]"
    problems="$problems${problems:+,}{\"path\":\"$1\",\"line\":$2,\"rule\":\"$3\",\"message\":\"$4\"}"
}

# Plain files only: a symlink in a candidate points wherever its author likes.
notes() {
    [ ! -d "$1/notes" ] || (cd "$1" && find notes -type f | sort)
}

notes "$root/base" >/tmp/base.$$
notes "$root/candidate" >/tmp/candidate.$$

while IFS= read -r note; do
    [ -f "$note" ] && [ ! -L "$note" ] || problem "$note" 1 deleted "notes are kept, write a new one instead"
done </tmp/base.$$

while IFS= read -r note; do
    case $(head -c 4096 "$note" | head -n 1) in
        "# "?*) ;;
        *) problem "$note" 1 title "expected a title such as '# Opening hours'" ;;
    esac
done </tmp/candidate.$$

rm -f /tmp/base.$$ /tmp/candidate.$$
[ ! -d "$root/out" ] || printf '{"problems":[%s]}' "$problems" >"$root/out/report.json"
if [ -z "$problems" ]; then verdict=0; else verdict=1; fi
