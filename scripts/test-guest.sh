#!/bin/sh
# Run the runtime's tests on Debian's kernel in a virtual machine, where control groups are of version 2
# alone. Emulated unless GDO_GUEST_ACCEL=kvm: some minutes.
#
#   scripts/test-guest.sh [FILTER...]
set -eu
. "$(dirname "$0")/env.sh"

scripts/deps.sh guest
say "fetching crates (the guest's tests are built offline)"
cargo fetch --locked
exec runtime/tests/guest.sh "$@"
