#!/bin/bash
# Weighs the chunk store beside the tools that Debian has for the same, on the same files in one run.
#
#   tests/bench/store.sh CORPUS        needs store_bench in $STORE_BENCH and the tools as packages
#
# TOOLS="gdo casync restic borg bup git_lfs ostree zstd" says which are measured.
#
# A line "SET|TOOL|WHAT|VALUE" a figure on standard output. Every tool takes the first half of a set and
# then the second, so that the second shows what is known already; what it gives back is compared
# byte by byte. Times are user and system time of all threads, sizes what the tool's directory has.
#
# What the tools do that we do not: restic encrypts and cannot be kept from it (borg can, and is here);
# ostree keeps files and no archives, so its other side is trees. What we do that they do
# not: casync and git-lfs sync nothing to the disk; ostree keeps no device files and no archive byte for
# byte.
set -euo pipefail
export LC_ALL=C

corpus=$(cd "${1:?usage: tests/bench/store.sh CORPUS}" && pwd -P)
: "${STORE_BENCH:?says where the example store_bench is}"
work=$(mktemp -d "${TMPDIR:-/var/tmp}/gdo-bench.XXXXXX")
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
export HOME=$work/home XDG_CACHE_HOME=$work/home/.cache
export BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes RESTIC_PASSWORD=bench BUP_DIR=$work/bup
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=$work/gitconfig
mkdir -p "$HOME"
git config --global init.defaultBranch main

figure() { printf '%s|%s|%s|%s\n' "$set" "$tool" "$1" "$2"; }

# Runs the rest and gives its CPU seconds as figure $1, its peak memory as "$1, memory".
weigh() {
    local what=$1
    shift
    if ! /usr/bin/time -q -o "$work/time" -f '%U %S %M' "$@" >"$work/out" 2>"$work/err"; then
        printf 'error: %s: %s\n' "$*" "$(tail -n 3 "$work/err")" >&2
        exit 1
    fi
    figure "$what" "$(awk '{ printf "%.2f", $1 + $2 }' "$work/time")"
    figure "$what, memory" "$(awk '{ printf "%.1f", $3 / 1024 }' "$work/time")"
}
stored() { figure stored "$(du -sbc "$@" | awk 'END { printf "%.2f", $1 / 1e6 }')"; }

# Whether the files of directory $1 are the set's, named by the rest: pairs of file and copy.
same() {
    while [ $# -gt 0 ]; do
        cmp -- "$1" "$2" >&2 || { echo "error: $tool did not give back $1" >&2; exit 1; }
        shift 2
    done
}

measure_profile() {
    tool=$1 profile=$2
    local store=$work/store out=$work/restored
    weigh first "$STORE_BENCH" ingest "$store" "$profile" "${first[@]}"
    cp "$work/out" "$work/names"
    weigh next "$STORE_BENCH" ingest "$store" "$profile" "${next[@]}"
    cat "$work/out" >>"$work/names"
    weigh again "$STORE_BENCH" ingest "$store" "$profile" "${all[@]}"
    stored "$store"
    "$STORE_BENCH" totals "$store" >"$work/totals"
    figure index "$(awk '/index_bytes/ { printf "%.2f", $2 / 1e6 }' "$work/totals")"
    figure chunks "$(awk '/ chunks:/ { printf "%d", $2 }' "$work/totals")"
    mapfile -t oids < <(cut -d' ' -f1 "$work/names")
    weigh restore "$STORE_BENCH" restore "$store" "$out" "${oids[@]}"
    while read -r oid file; do same "$file" "$out/$oid"; done <"$work/names"
    weigh verify "$STORE_BENCH" verify "$store"
    rm -rf "$store" "$out"
}

measure_casync() {
    tool=casync
    local make='for f; do casync make --store="$0/store.castr" "$0/$(basename "$f").caibx" "$f"; done'
    mkdir "$work/casync" "$work/restored"
    weigh first sh -c "$make" "$work/casync" "${first[@]}"
    weigh next sh -c "$make" "$work/casync" "${next[@]}"
    weigh again sh -c "$make" "$work/casync" "${all[@]}"
    stored "$work/casync"
    weigh restore sh -c 'for f; do n=$(basename "$f")
        casync extract --store="$0/casync/store.castr" "$0/casync/$n.caibx" "$0/restored/$n"; done' \
        "$work" "${all[@]}"
    for f in "${all[@]}"; do same "$f" "$work/restored/$(basename "$f")"; done
    rm -rf "$work/casync" "$work/restored"
}

measure_restic() {
    tool=restic
    export RESTIC_REPOSITORY=$work/restic
    restic init -q
    weigh first restic backup -q --no-cache --force "${first[@]}"
    weigh next restic backup -q --no-cache --force "${next[@]}"
    weigh again restic backup -q --no-cache --force "${all[@]}"
    stored "$work/restic"
    weigh restore restic restore -q --no-cache latest --target "$work/restored"
    for f in "${all[@]}"; do same "$f" "$work/restored$f"; done
    rm -rf "$work/restic" "$work/restored"
}

measure_borg() {
    tool=borg
    export BORG_REPO=$work/borg
    borg init -e none
    weigh first borg create --compression zstd,3 ::first "${first[@]}"
    weigh next borg create --compression zstd,3 ::next "${next[@]}"
    # Without this cache of file times borg would read nothing.
    weigh again borg create --compression zstd,3 --files-cache disabled ::again "${all[@]}"
    stored "$work/borg"
    mkdir "$work/restored"
    weigh restore sh -c 'cd "$0" && borg extract ::again' "$work/restored"
    for f in "${all[@]}"; do same "$f" "$work/restored$f"; done
    rm -rf "$work/borg" "$work/restored" "$HOME/.cache"
}

measure_bup() {
    tool=bup
    local split='for f; do
        bup split -q -n "b$(basename "$f" .tar | tr -c "A-Za-z0-9\n" _)" "$f"; done'
    bup init 2>&1 | cat >&2
    weigh first sh -c "$split" bup "${first[@]}"
    weigh next sh -c "$split" bup "${next[@]}"
    weigh again sh -c "$split" bup "${all[@]}"
    stored "$work/bup"
    mkdir "$work/restored"
    weigh restore sh -c 'for f; do n=$(basename "$f" .tar | tr -c "A-Za-z0-9\n" _)
        bup join "b$n" >"$0/$(basename "$f")"; done' "$work/restored" "${all[@]}"
    for f in "${all[@]}"; do same "$f" "$work/restored/$(basename "$f")"; done
    rm -rf "$work/bup" "$work/restored"
}

measure_git_lfs() {
    tool=git-lfs
    git init -q "$work/lfs"
    local clean='cd "$0" && for f; do git lfs clean "$f" <"$f" >"../$(basename "$f").pointer"; done'
    weigh first sh -c "$clean" "$work/lfs" "${first[@]}"
    weigh next sh -c "$clean" "$work/lfs" "${next[@]}"
    weigh again sh -c "$clean" "$work/lfs" "${all[@]}"
    stored "$work/lfs/.git/lfs"
    mkdir "$work/restored"
    weigh restore sh -c 'cd "$0/lfs" && for f; do n=$(basename "$f")
        git lfs smudge "$f" <"../$n.pointer" >"../restored/$n"; done' "$work" "${all[@]}"
    for f in "${all[@]}"; do same "$f" "$work/restored/$(basename "$f")"; done
    rm -rf "$work/lfs" "$work/restored"
}

# The trees of the archives without device files, which it does not keep.
measure_ostree() {
    tool=ostree
    local commit='for d; do ostree --repo="$0" commit -b "$(basename "$d")" --tree=dir="$d"; done'
    local trees=()
    for f in "${all[@]}"; do
        trees+=("$work/trees/$(basename "$f" .tar)")
        mkdir -p "${trees[-1]}"
        tar -C "${trees[-1]}" --exclude='./dev/*' -xf "$f"
    done
    local half=${#first[@]}
    ostree --repo="$work/ostree" init --mode=archive
    weigh first sh -c "$commit" "$work/ostree" "${trees[@]:0:half}"
    weigh next sh -c "$commit" "$work/ostree" "${trees[@]:half}"
    weigh again sh -c "$commit" "$work/ostree" "${trees[@]}"
    stored "$work/ostree"
    mkdir "$work/restored"
    weigh restore sh -c 'for d; do n=$(basename "$d")
        ostree --repo="$0/ostree" checkout -U "$n" "$0/restored/$n"; done' "$work" "${trees[@]}"
    rm -rf "$work/ostree" "$work/restored" "$work/trees"
}

# Everything as one archive, which can be neither added to nor read in parts.
measure_zstd() {
    tool='zstd --long'
    weigh first sh -c 'cat "$@" | zstd -q -3 --long=27 -c >"$0"' "$work/one.zst" "${all[@]}"
    stored "$work/one.zst"
    weigh restore zstd -q -d --long=27 "$work/one.zst" -o "$work/one"
    cat "${all[@]}" | cmp - "$work/one"
    rm "$work/one.zst" "$work/one"
    # And each file by itself.
    tool='zstd --long, each'
    weigh first sh -c 'for f; do zstd -q -3 --long=27 -c "$f"; done >"$0"' "$work/each.zst" "${all[@]}"
    stored "$work/each.zst"
    rm "$work/each.zst"
}

measure_set() {
    set=$1
    all=("$corpus/$1"/*)
    local half=$((${#all[@]} / 2))
    first=("${all[@]:0:half}") next=("${all[@]:half}")
    tool=input
    stored "${all[@]}"
}

measure_gdo() {
    measure_profile gdo standard
    [ "$set" = edits ] || measure_profile 'gdo, archive' archive
}

# Measures the set $1 with those of the tools in the rest that are wanted.
measure() {
    measure_set "$1"
    shift
    for each in "$@"; do
        case " $tools " in *" $each "*) "measure_$each" ;; esac
    done
}
tools=${TOOLS:-gdo casync restic borg bup git_lfs ostree zstd}
measure rootfs gdo casync restic borg bup git_lfs ostree zstd
measure text gdo casync restic borg zstd
measure edits gdo casync restic borg
case " $tools " in *' gdo '*) ;; *) exit 0 ;; esac

# What grows with the store.
set=growth
for gigabytes in ${GROWTH_GB:-1 10}; do
    tool="$gigabytes GB"
    weigh ingest "$STORE_BENCH" noise "$work/store" "$gigabytes"
    cp "$work/out" "$work/names"
    "$STORE_BENCH" totals "$work/store" >"$work/totals"
    figure index "$(awk '/index_bytes/ { printf "%.2f", $2 / 1e6 }' "$work/totals")"
    figure chunks "$(awk '/ chunks:/ { printf "%d", $2 }' "$work/totals")"
    weigh verify "$STORE_BENCH" verify "$work/store"
    # Half of the objects go, and what is left of their packs is moved or deleted.
    mapfile -t oids < <(awk 'NR % 2 { print $1 }' "$work/names")
    weigh gc "$STORE_BENCH" gc "$work/store" "${oids[@]}"
    rm -rf "$work/store"
done

set=stages tool=gdo
"$STORE_BENCH" stages "$corpus"/rootfs/* | while IFS='|' read -r stage cpu _; do figure "$stage" "$cpu"; done
