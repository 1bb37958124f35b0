#!/bin/sh
# Check form and lints of the whole workspace: rustfmt, clippy with warnings as errors, cargo-deny.
#
# What is not installed is named as unchecked at the end, loudly: it is not an error here, but what
# a release is checked with has all three.
set -eu
. "$(dirname "$0")/env.sh"

unchecked=
if cargo fmt --version >/dev/null 2>&1; then
    say "checking the form of the sources (cargo fmt)"
    cargo fmt --all --check
else
    unchecked="$unchecked rustfmt"
fi
if cargo clippy --version >/dev/null 2>&1; then
    say "checking lints, warnings are errors (cargo clippy)"
    cargo clippy --locked --workspace --all-targets -- -D warnings
else
    unchecked="$unchecked clippy"
fi
if cargo deny --version >/dev/null 2>&1; then
    say "checking licences, bans and sources of dependencies (cargo deny)"
    cargo deny --locked check bans licenses sources
else
    unchecked="$unchecked cargo-deny"
fi
[ -z "$unchecked" ] || say "NOT CHECKED, because not installed:$unchecked"
