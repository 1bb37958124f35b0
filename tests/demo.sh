#!/bin/bash
# Plays the journeys A (push), B (double spend) and F (audit) for real, in a temporary directory:
# a ledger, a daemon, validators in containers, and stock git on the members' side.
#
#   tests/demo.sh            needs gdo on PATH or in $GDO, and git, ssh-keygen
#   KEEP=1 tests/demo.sh     leaves the node running and says how to go on
#
# The last line is "demo: ok" only if every step did what it says.
set -euo pipefail

GDO=${GDO:-gdo}
KEEP=${KEEP:-0}
work=$(mktemp -d "${TMPDIR:-/tmp}/gdo-demo.XXXXXX")
node=$work/node
unset GDO_DIR
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=$work/gitconfig HOME=$work/home
mkdir -p "$HOME"

finish() {
    code=$?
    if [ "$code" -ne 0 ]; then
        echo
        echo "demo: FAILED (the work is in $work)" >&2
        [ -f "$node/run/node.log" ] && sed 's/^/  node: /' "$node/run/node.log" >&2
        "$GDO" node stop "$node" 2>/dev/null || true
    fi
    exit "$code"
}
trap finish EXIT

say() { printf '\n# %s\n' "$*"; }
run() { printf '$ %s\n' "$*"; "$@" 2>&1; }
in_dir() { local dir=$1; shift; printf '%s$ %s\n' "$(basename "$dir")" "$*"; (cd "$dir" && "$@" 2>&1); }
must_contain() { # file, text, what it means
    grep -qF -- "$2" "$1" || { echo "demo: expected '$2' ($3)" >&2; exit 1; }
}

say "Alice makes herself a key, as for any SSH login, and tells git to sign with it."
run ssh-keygen -q -t ed25519 -N '' -C alice -f "$HOME/alice"
run git config --global user.name alice
run git config --global user.email alice@example.org
run git config --global gpg.format ssh
run git config --global user.signingkey "$HOME/alice.pub"
run git config --global commit.gpgsign true

say "An organisation that keeps books: a ledger, its founder, and this machine as its first node."
run "$GDO" init "$node" --member alice --key "$HOME/alice.pub" --template books --name makers \
    --listen 127.0.0.1:0

say "The daemon. It listens on loopback only."
printf '$ gdo node start %s\n' "$node"
url=$("$GDO" node start "$node" | head -n 1 | cut -d' ' -f1)
echo "$url"

say "Journey A: clone with stock git, record what was paid in, propose it with a push."
run git clone -q "$url" "$work/alice"
mkdir -p "$work/alice/acct/txn/2026/11"
cat > "$work/alice/acct/txn/2026/11/01KAJ3T6Z8Q4M2W9X5Y7B1C0D0.journal" <<'J'
2026-11-01 Alice pays in 50
    ; id: 01KAJ3T6Z8Q4M2W9X5Y7B1C0D0
    Assets:Bank                 50.00 USD
    Liabilities:Member:alice   -50.00 USD
J
in_dir "$work/alice" git add -A
in_dir "$work/alice" git commit -q -m 'Alice pays in 50'
in_dir "$work/alice" git push origin HEAD:refs/for/main | tee "$work/push-a"
must_contain "$work/push-a" 'accounting' 'the dapp that judged it is named'
must_contain "$work/push-a" 'pass' 'and its result'

say "main has moved to a checkpoint that holds the proposal; the clone pulls it."
in_dir "$work/alice" git pull -q --ff-only
in_dir "$work/alice" git log --oneline --graph -6
run "$GDO" status --dir "$node"

say "Journey B: a desk and a phone each spend 40 of the 50, not knowing of each other."
spend() { # clone, id, what
    git clone -q "$url" "$work/$1"
    cat > "$work/$1/acct/txn/2026/11/$2.journal" <<J
2026-11-02 $3
    ; id: $2
    Liabilities:Member:alice    40.00 USD
    Income:Sales               -40.00 USD
J
    in_dir "$work/$1" git add -A
    in_dir "$work/$1" git commit -q -m "$3"
}
spend desk 01KAJ3T6Z8Q4M2W9X5Y7B1C0D1 'Alice buys a drill'
spend phone 01KAJ3T6Z8Q4M2W9X5Y7B1C0D2 'Alice buys a saw'

say "Git alone would take both: they merge without a conflict."
run git clone -q "$work/desk" "$work/merged"
in_dir "$work/merged" git fetch -q "$work/phone" HEAD
in_dir "$work/merged" git merge -q -m 'both' FETCH_HEAD
echo "merged cleanly: $(grep -l '40.00 USD' "$work"/merged/acct/txn/2026/11/*.journal | wc -l) times 40 out of 50"

say "gdo takes the first ..."
in_dir "$work/desk" git push origin HEAD:refs/for/main | tee "$work/push-desk"
must_contain "$work/push-desk" 'pass' 'the first spend is fine'

say "... and refuses the second, with file, line and the balance that would result."
if in_dir "$work/phone" git push origin HEAD:refs/for/main > "$work/push-phone"; then
    cat "$work/push-phone"
    echo "demo: the double spend was accepted" >&2
    exit 1
fi
cat "$work/push-phone"
must_contain "$work/push-phone" '01KAJ3T6Z8Q4M2W9X5Y7B1C0D2.journal:' 'the file and the line'
must_contain "$work/push-phone" "alice's balance would be -30.00 USD (floor 0.00)" 'the balance'

say "Journey F: a stranger with a clone audits everything, from genesis."
run git clone -q "$url" "$work/auditor"
in_dir "$work/auditor" "$GDO" verify

if [ "$KEEP" = 1 ]; then
    say "The node runs on. Try:"
    echo "  git clone $url"
    echo "  $GDO status --dir $node"
    echo "  $GDO log --dir $node"
    echo "  $GDO node stop $node"
else
    say "Stop the node."
    run "$GDO" node stop "$node"
    rm -rf "$work"
fi
echo
echo "demo: ok"
