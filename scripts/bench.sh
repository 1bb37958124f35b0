#!/bin/sh
# Measure: the head rule, a container's start, and a ledger from outside beside stock tools.
#
#   scripts/bench.sh [PUSHES]        (default 30; needs root for the containers of the other side)
#
# One JSON line a figure goes to bench-results.jsonl in the target directory, a table to standard
# output. Ratios are of one run on one machine; absolute figures are that machine's.
set -eu
. "$(dirname "$0")/env.sh"

[ "$(id -u)" = 0 ] || die "needs root: the other side runs crun with namespaces of its own"
scripts/deps.sh bench
scripts/build.sh release
say "building the benches"
cargo build --locked --release -p gdo-consensus --example head_bench
cargo build --locked --release -p gdo-runtime --bin gdo-sandbox-helper --example sandbox_bench
release=$CARGO_TARGET_DIR/release
results=$CARGO_TARGET_DIR/bench-results.jsonl
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say "the head rule"
"$release/examples/head_bench" >"$results"

say "a container, create to exit, beside crun and runc"
mkdir -p "$work/root/bin"
cp "$(command -v busybox)" "$work/root/bin/busybox"
ln -s busybox "$work/root/bin/true"
dapps/oci-layout.sh "$work/root" "$work/image" /bin/true
"$release/examples/sandbox_bench" "$work/image" "$release/gdo-sandbox-helper" 100 >"$work/sandbox"
awk '
    { sub(":", "", $1) }
    $2 == "total" { us[$1] = $3; order[++n] = $1 }
    END {
        for (i = 1; i <= n; i++) {
            name = order[i]
            if (name == "gdo" || !("gdo" in us)) continue
            printf "{\"name\":\"container create to exit\",\"value\":%.3f,\"unit\":\"ms\",\"against\":\"%s\",\"ratio\":%.3f}\n",
                us["gdo"] / 1000, name, us["gdo"] / us[name]
        }
        if (n == 1) printf "{\"name\":\"container create to exit\",\"value\":%.3f,\"unit\":\"ms\",\"against\":null,\"ratio\":null}\n", us["gdo"] / 1000
    }' "$work/sandbox" >>"$results"
cat "$work/sandbox" >&2

say "a ledger from outside"
GDO=$release/gdo tests/bench/ledger.sh "${1:-30}" >>"$results"

say "$results"
sed 's/^{"name":"\(.*\)","value":\(.*\),"unit":"\(.*\)","against":\(.*\),"ratio":\(.*\)}$/\1|\2 \3|\4|\5/; s/"//g; s/null//g' "$results" |
    awk -F'|' '
        BEGIN { printf "| figure | value | against | ratio |\n|---|---|---|---|\n" }
        { printf "| %s | %s | %s | %s |\n", $1, $2, $3, $4 }'
