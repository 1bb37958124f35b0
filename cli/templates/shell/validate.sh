#!/bin/sh
# The whole dapp: two directories in, an exit code out.
#
# /gdo/base and /gdo/candidate hold what dapp.toml's `reads` names, before and after the change;
# /gdo/context.json says who changed what. Exit 0 passes, 1 refuses. What this script did not decide
# must be neither, so the trap turns every other end, an error of the shell included, into 70.
set -eu
verdict=70
trap 'exit $verdict' EXIT

problems=
# Neither path nor message needs escaping: a ledger's paths hold no quote and no backslash.
problem() { # path line rule message
    echo "$1:$2: $4"
    problems="$problems${problems:+,}{\"path\":\"$1\",\"line\":$2,\"rule\":\"$3\",\"message\":\"$4\"}"
}

cd /gdo/candidate
[ ! -d @NAME@ ] || find @NAME@ -type f | sort >/tmp/files
[ -f /tmp/files ] || : >/tmp/files

# An example of a rule: every file starts with a title.
while IFS= read -r file; do
    case $(head -c 4096 "$file" | head -n 1) in
        "# "?*) ;;
        *) problem "$file" 1 title "expected a title such as '# Opening hours'" ;;
    esac
done </tmp/files

printf '{"problems":[%s]}' "$problems" >/gdo/out/report.json
if [ -z "$problems" ]; then verdict=0; else verdict=1; fi
