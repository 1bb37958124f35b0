#!/bin/sh
# Run a command as this user with control groups that it may divide, as a node needs them to limit
# validators.
#
#   scripts/with-cgroups.sh COMMAND...
#
# Root has them, and so has a service of systemd with Delegate=yes. For an ordinary user's shell
# this makes groups named gdo-make-<uid>-<pid> with sudo, hands just these directories to the user,
# and removes them afterwards unless something still runs there (make demo KEEP=1).
set -eu
. "$(dirname "$0")/env.sh"

# The group that this process is in, for controller $1 of version 1 ("" is version 2).
own_group() {
    awk -F: -v c="$1" '(c == "" && $2 == "") || (c != "" && ("," $2 ",") ~ ("," c ",")) { print $3; exit }' \
        /proc/self/cgroup
}
legacy_mount() { awk -v c="$1" '$3 == "cgroup" && ("," $4 ",") ~ ("," c ",") { print $2; exit }' /proc/mounts; }
unified_mount() { awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts; }

# Whether this user can already make a group to limit memory in.
may_divide() {
    mount=$(legacy_mount memory)
    if [ -n "$mount" ]; then
        above=$mount$(own_group memory)
    else
        mount=$(unified_mount)
        [ -n "$mount" ] || return 1
        above=$mount$(dirname "$(own_group '')")
    fi
    mkdir "$above/gdo-probe-$$" 2>/dev/null && rmdir "$above/gdo-probe-$$"
}

if [ "$(id -u)" = 0 ] || may_divide; then exec "$@"; fi
if ! command -v sudo >/dev/null 2>&1; then
    say "no sudo: validators run without control groups, which only runtime.isolation = \"degraded\" allows"
    exec "$@"
fi

name=gdo-make-$(id -u)-$$
made= join=
# Makes one group and hands over the directory and the files by which it is divided, nothing else.
make_group() {
    case $1 in
        *[!A-Za-z0-9_./@:-]* | *..*) die "unexpected control group '$1'" ;;
        */"$name" | */"$name"/main) ;;
        *) die "unexpected control group '$1'" ;;
    esac
    sudo mkdir "$1"
    sudo chown "$(id -u):$(id -g)" "$1"
    for file in cgroup.procs cgroup.threads cgroup.subtree_control tasks; do
        if [ -e "$1/$file" ]; then sudo chown "$(id -u):$(id -g)" "$1/$file"; fi
    done
    made="$1 $made"
}
enable() { # group of version 2
    for controller in memory pids cpu; do
        printf '+%s' $controller | sudo tee "$1/cgroup.subtree_control" >/dev/null 2>&1 || true
    done
}
if [ -n "$(legacy_mount memory)" ]; then
    for controller in memory pids cpu cpuacct; do
        mount=$(legacy_mount $controller)
        [ -n "$mount" ] || continue
        own=$(own_group $controller)
        group=$mount${own%/}/$name
        [ -d "$group" ] || make_group "$group"
        join="$join $group"
    done
elif [ -n "$(unified_mount)" ]; then
    # A group with processes cannot have limited children: the command gets a child of its own.
    mount=$(unified_mount)
    enable "$mount"
    make_group "$mount/$name"
    enable "$mount/$name"
    make_group "$mount/$name/main"
    join="$mount/$name/main"
fi
[ -n "$join" ] || { say "this machine has no control groups for memory"; exec "$@"; }
say "giving this user control groups to limit validators in (sudo): $join"

status=0
# The shell inside says its own number: $$ here would be this one's.
# shellcheck disable=SC2016
sh -c 'for group in $1; do echo $$ | sudo tee "$group/cgroup.procs" >/dev/null; done; shift; exec "$@"' \
    join "$join" "$@" || status=$?
for group in $made; do
    if [ -d "$group/gdo" ]; then rmdir "$group/gdo"/* "$group/gdo" 2>/dev/null || true; fi
    sudo rmdir "$group" 2>/dev/null || true
done
exit $status
