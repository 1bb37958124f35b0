#!/bin/sh
# Measure the chunk store beside casync, restic, borg, bup, git-lfs, ostree and zstd.
#
#   scripts/bench-store.sh        (needs root: mmdebstrap makes root file systems)
#
# What is measured with is made once, under corpus/ beside the default target directory. One JSON line
# a figure is added to bench-results.jsonl in the target directory, tables go to standard output. Ratios
# are of one run on one machine; absolute figures are that machine's. GROWTH_GB="1 10" says how
# large the stores of noise are; SUITE which Debian release the root file systems are of.
set -eu
. "$(dirname "$0")/env.sh"

[ "$(id -u)" = 0 ] || die "needs root: mmdebstrap makes root file systems"
scripts/deps.sh bench-store
say "building the bench"
# With gdo itself, so that what is built for it serves here: RocksDB takes a while.
cargo build --locked --release -p gdo -p gdo-chunkstore --bin gdo --example store_bench
results=$CARGO_TARGET_DIR/bench-results.jsonl
rows=$CARGO_TARGET_DIR/bench-store.rows
corpus=${XDG_CACHE_HOME:-$HOME/.cache}/gdo/corpus
tests/bench/store-corpus.sh "$corpus"
say "measuring; this takes minutes"
STORE_BENCH=$CARGO_TARGET_DIR/release/examples/store_bench tests/bench/store.sh "$corpus" >"$rows"
say "$results"
[ ! -e "$results" ] || { grep -Ev '"name":"(store|ingest|restore)_' "$results" || true; } >"$results.new"
awk -F'|' -f tests/bench/store-figures.awk "$rows" >>"$results.new"
mv "$results.new" "$results"
awk -F'|' -f tests/bench/store-tables.awk "$rows"
