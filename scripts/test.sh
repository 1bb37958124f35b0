#!/bin/sh
# Install what is missing, check form and lints, build everything and run every test.
set -eu
. "$(dirname "$0")/env.sh"

scripts/deps.sh test
scripts/lint.sh
say "building the dapps into $GDO_SHARE"
dapps/build.sh "$GDO_SHARE" >&2
if cargo nextest --version >/dev/null 2>&1; then
    say "running all tests (cargo nextest), then the examples in documentation (cargo test --doc)"
    scripts/with-cgroups.sh cargo nextest run --locked --workspace
    cargo test --locked --workspace --doc -q
else
    say "running all tests (cargo test; cargo nextest would be faster but is not installed)"
    scripts/with-cgroups.sh cargo test --locked --workspace --no-fail-fast
fi
say "test: ok"
