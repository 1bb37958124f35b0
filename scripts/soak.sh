#!/bin/sh
# Run the tests that `make test` leaves out because they take long: those marked
# `#[ignore = "soak: …"]`.
set -eu
. "$(dirname "$0")/env.sh"

scripts/deps.sh soak
names=$(grep -rh -A 3 --include='*.rs' --exclude-dir=target '#\[ignore = "soak' . | sed -n 's/^ *\(async \)\{0,1\}fn \([a-z0-9_]*\)().*/\2/p' | sort -u)
[ -n "$names" ] || die "no test is marked as soak"
# shellcheck disable=SC2086  # a list of words
say "soaking:" $names
# shellcheck disable=SC2086
scripts/with-cgroups.sh cargo test --locked --workspace --release --no-fail-fast -- --ignored $names
say "soak: ok"
