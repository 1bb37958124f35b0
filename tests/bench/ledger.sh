#!/bin/bash
# Measures a ledger from outside, beside stock tools that do the same on the same machine: a push
# with a container check, the audit, the daemon at rest. One JSON line a figure on standard output.
#
#   tests/bench/ledger.sh [PUSHES]      (default 30) needs gdo in $GDO, GDO_SHARE, root, git-lfs and crun
#
# The other side of a push is a bare repository whose pre-receive hook checks base and candidate out
# and runs the same image with crun. Both sides take signed commits over a local path, in turns, so
# that a busy machine hits both.
set -euo pipefail
export LC_ALL=C

GDO=${GDO:-gdo}
pushes=${1:-30}
here=$(cd "$(dirname "$0")" && pwd -P)
work=$(mktemp -d "${TMPDIR:-/var/tmp}/gdo-bench.XXXXXX")
node=$work/node
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=$work/gitconfig HOME=$work/home
unset GDO_DIR
mkdir -p "$HOME"
trap '"$GDO" node stop "$node" 2>/dev/null || true; rm -rf "$work"' EXIT

now_us() { echo "${EPOCHREALTIME/./}"; }
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
# name, value, unit, against (or ""), value of that
figure() {
    awk -v n="$1" -v v="$2" -v u="$3" -v a="$4" -v o="${5:-0}" 'BEGIN {
        printf "{\"name\":\"%s\",\"value\":%.3f,\"unit\":\"%s\",", n, v, u
        if (a == "") printf "\"against\":null,\"ratio\":null}\n"
        else printf "\"against\":\"%s\",\"ratio\":%.3f}\n", a, v / o }'
}
ms() { awk -v us="$1" 'BEGIN { print us / 1000 }'; }
busybox=$(command -v busybox)

ssh-keygen -q -t ed25519 -N '' -C alice -f "$HOME/alice"
git config --global user.name alice
git config --global user.email alice@example.org
git config --global gpg.format ssh
git config --global user.signingkey "$HOME/alice.pub"
git config --global commit.gpgsign true
git config --global init.defaultBranch main
git config --global gc.auto 0

# The image of the check: a static busybox that does nothing and exits with 0.
mkdir -p "$work/rootfs/bin" "$work"/rootfs/gdo/{base,candidate} "$work"/rootfs/{proc,dev,tmp}
cp "$busybox" "$work/rootfs/bin/busybox"
mkdir -p "$work/image-root/bin"
cp "$busybox" "$work/image-root/bin/busybox"
"$here/../../dapps/oci-layout.sh" "$work/image-root" "$work/image" /bin/busybox true

# Our side: rule hot/ shows its dapp every push, rule cool/ one that sees nothing new of what is pushed.
"$GDO" init "$node" --member alice --key "$HOME/alice.pub" --name bench --listen 127.0.0.1:0 2>/dev/null
began=$(now_us)
GDO_LOG=info,gdo::stage=debug "$GDO" node start "$node" >/dev/null 2>&1
figure 'daemon start' "$(ms $(($(now_us) - began)))" ms ''
daemon=$(cat "$node/run/lock")
resident() { awk '/^VmRSS/ { print $2 / 1024 }' "/proc/$daemon/status"; }
figure 'daemon resident, at rest' "$(resident)" MiB ''
git clone -q "$node/ledger.git" "$work/gdo"
for dapp in hot cool; do
    "$GDO" image import --dir "$work/gdo" --dapp $dapp "oci:$work/image" --no-push >/dev/null
    cat >"$work/gdo/.gdo/dapps/$dapp/dapp.toml" <<TOML
contract = 1
name = "$dapp"
version = "1.0.0"
[validator]
engine = "container"
image = "image"
command = ["/bin/busybox", "true"]
reads = ["$([ $dapp = hot ] && echo 'hot/**' || echo 'cool/watched/**')"]
TOML
    printf '[[rule]]\npath = "%s/"\nlane = "cas"\nwriters = ["any"]\ndapps = ["%s"]\n' $dapp $dapp \
        >>"$work/gdo/.gdo/policy.toml"
done
git -C "$work/gdo" add -A
git -C "$work/gdo" commit -q -m 'Check what is pushed'
layers=$(git -C "$work/gdo" grep -h '^oid sha256:' -- .gdo/dapps/hot | cut -d: -f2)
git -C "$work/gdo" lfs push --object-id origin $layers >/dev/null
git -C "$work/gdo" push -q origin HEAD:refs/for/main
git -C "$work/gdo" pull -q --ff-only
[ -e "$work/gdo/.gdo/dapps/hot/dapp.toml" ] || { echo 'bench: the rules were not merged' >&2; exit 1; }

# The other side.
cat >"$work/config.json" <<JSON
{"ociVersion":"1.0.0","process":{"terminal":false,"user":{"uid":0,"gid":0},"args":["/bin/busybox","true"],"env":["PATH=/bin"],"cwd":"/",
 "capabilities":{},"noNewPrivileges":true},"root":{"path":"$work/rootfs","readonly":true},
 "mounts":[{"destination":"/proc","type":"proc","source":"proc"},{"destination":"/dev","type":"tmpfs","source":"tmpfs","options":["nosuid","mode=755"]},
  {"destination":"/gdo/base","type":"bind","source":"BASE","options":["bind","ro"]},{"destination":"/gdo/candidate","type":"bind","source":"CANDIDATE","options":["bind","ro"]}],
 "linux":{"resources":{"memory":{"limit":67108864},"pids":{"limit":32}},"namespaces":[{"type":"pid"},{"type":"network"},{"type":"ipc"},{"type":"uts"},{"type":"mount"}]}}
JSON
# crun refuses hosts with both versions of control groups. There it runs in a namespace that shows
# it version 2 alone, so without limits, which is in its favour.
runner=crun
mkdir -p "$work/probe/base" "$work/probe/candidate"
sed "s|BASE|$work/probe/base|; s|CANDIDATE|$work/probe/candidate|" "$work/config.json" >"$work/probe/config.json"
if ! crun run --bundle "$work/probe" bench-probe 2>/dev/null; then
    sed -i 's|"resources":{[^}]*}[^}]*}},||' "$work/config.json" "$work/probe/config.json"
    mkfifo "$work/view"
    unshare --mount --cgroup sh -c \
        "umount -R -l /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup && echo there >$work/view && exec sleep infinity" &
    view=$!
    trap '"$GDO" node stop "$node" 2>/dev/null || true; kill $view; rm -rf "$work"' EXIT
    read -r _ <"$work/view"
    runner="nsenter --target $view --mount --cgroup crun"
    $runner run --bundle "$work/probe" bench-probe
fi
other() { # name, value of core.fsync
    git init -q --bare --object-format=sha256 "$work/$1.git"
    [ -z "$2" ] || git -C "$work/$1.git" config core.fsync "$2"
    cat >"$work/$1.git/hooks/pre-receive" <<HOOK
#!/bin/sh
set -eu
read -r old new ref
run=\$(mktemp -d $work/run.XXXXXX)
mkdir "\$run/base" "\$run/candidate"
git archive "\$new" hot | tar -x -C "\$run/candidate"
case \$old in *[!0]*) git archive "\$old" hot | tar -x -C "\$run/base" ;; esac
sed "s|BASE|\$run/base|; s|CANDIDATE|\$run/candidate|" $work/config.json >"\$run/config.json"
status=0
$runner run --bundle "\$run" "bench-\$\$" || status=\$?
rm -rf "\$run"
exit \$status
HOOK
    chmod +x "$work/$1.git/hooks/pre-receive"
    git clone -q "$work/$1.git" "$work/$1" 2>/dev/null
    mkdir "$work/$1/hot"
    echo 0 >"$work/$1/hot/0"
    git -C "$work/$1" add -A
    git -C "$work/$1" commit -q -m 0
    git -C "$work/$1" push -q origin HEAD:main
}
other durable all
other default ''

change() { # clone, folder, number
    mkdir -p "$work/$1/$2"
    echo "$3" >"$work/$1/$2/$3"
    git -C "$work/$1" add -A
    git -C "$work/$1" commit -q -m "$2 $3"
}
timed_push() { # clone, refspec, file of times
    local began
    began=$(now_us)
    git -C "$work/$1" push -q origin "$2" 2>"$work/said" || { cat "$work/said" >&2; exit 1; }
    echo $(($(now_us) - began)) >>"$work/times-$3"
}
logged=$(wc -l <"$node/run/node.log")
for number in $(seq "$pushes"); do
    for folder in hot cool; do
        change gdo $folder "$number"
        timed_push gdo HEAD:refs/for/main $folder
        git -C "$work/gdo" pull -q --ff-only
        [ "$(git -C "$work/gdo" log -1 --format=%s)" != "$folder $number" ] || { echo 'bench: not merged' >&2; exit 1; }
    done
    for side in durable default; do
        change $side hot "$number"
        timed_push $side HEAD:main $side
    done
done
take() { ms "$(median <"$work/times-$1")"; }
durable=$(take durable) default=$(take default)
figure 'git push with crun hook, core.fsync=all' "$durable" ms ''
figure 'git push with crun hook, git default sync' "$default" ms ''
figure 'push to merged, container runs' "$(take hot)" ms 'git push with crun hook, core.fsync=all' "$durable"
figure 'push to merged, container runs' "$(take hot)" ms 'git push with crun hook, git default sync' "$default"
figure 'push to merged, verdict cached' "$(take cool)" ms 'git push with crun hook, core.fsync=all' "$durable"
figure 'push to merged, verdict cached' "$(take cool)" ms 'git push with crun hook, git default sync' "$default"

# Where the time of these pushes went inside the daemon; the rest is git, ssh-keygen and hooks.
tail -n "+$((logged + 1))" "$node/run/node.log" |
    sed -n 's/.* gdo::stage: stage="\([^"]*\)" us=\([0-9]*\)$/\1|\2/p' >"$work/stages"
[ -s "$work/stages" ] || { echo 'bench: the node logged no stages' >&2; exit 1; }
cut -d'|' -f1 "$work/stages" | sort -u | while read -r stage; do
    us=$(awk -F'|' -v s="$stage" '$1 == s { print $2 }' "$work/stages" | median)
    figure "push, stage: $stage" "$(ms "$us")" ms ''
done
figure 'daemon resident, after the pushes' "$(resident)" MiB ''

# The audit of that ledger, beside git's own checks of the same commits.
git clone -q "$node/ledger.git" "$work/audit"
git -C "$work/audit" config gpg.ssh.allowedSignersFile "$node/allowed_signers"
blocks=$(git -C "$work/audit" rev-list --count HEAD)
best() { # command...: the best of three, in microseconds
    for _ in 1 2 3; do
        local began
        began=$(now_us)
        "$@" >"$work/said" 2>&1 || { cat "$work/said" >&2; exit 1; }
        echo $(($(now_us) - began))
    done | sort -n | head -n 1
}
stock() {
    git -C "$work/audit" fsck --strict
    # Checkpoints are unsigned: the certificate stands for them.
    git -C "$work/audit" log --format='%H %ce' | awk '$2 != "checkpoint@gdo.invalid" { print $1 }' |
        xargs git -C "$work/audit" verify-commit
}
theirs=$(best stock)
ours=$(best "$GDO" verify --dir "$work/audit")
rate() { awk -v n="$blocks" -v us="$1" 'BEGIN { print n / us * 1e6 }'; }
figure 'audit by git fsck and git verify-commit' "$(rate "$theirs")" commits/s ''
figure 'audit by gdo verify' "$(rate "$ours")" commits/s 'audit by git fsck and git verify-commit' "$(rate "$theirs")"
cp "$GDO" "$work/stripped"
strip -s "$work/stripped"
figure 'stripped binary' "$(awk -v b="$(stat -c %s "$work/stripped")" 'BEGIN { print b / 1048576 }')" MiB ''
