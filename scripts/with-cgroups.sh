#!/bin/sh
# Run a command as this user with control groups that it may divide, as a node needs them to limit
# validators.
#
#   scripts/with-cgroups.sh COMMAND...
#
# Root has them, and so has a service of systemd with Delegate=yes. For an ordinary user's shell this makes
# groups named gdo-make-<uid>-<pid> with sudo, hands them to the user, and removes them afterwards unless something
# still runs there (make demo KEEP=1).
set -eu
. "$(dirname "$0")/env.sh"

own_group() { sed -n "s/^[0-9]*:$1:\(.*\)$/\1/p" /proc/self/cgroup; } # a pattern for controllers
legacy_mount() { awk -v c="$1" '$3 == "cgroup" && ("," $4 ",") ~ ("," c ",") { print $2; exit }' /proc/mounts; }
unified_mount() { awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts; }

# Whether this user can already make a group to limit memory in.
may_divide() {
    legacy=$(legacy_mount memory)
    if [ -n "$legacy" ]; then
        probe=$legacy$(own_group '[^:]*memory[^:]*')/gdo-probe-$$
    else
        probe=$(unified_mount)$(dirname "$(own_group '')")/gdo-probe-$$
    fi
    mkdir "$probe" 2>/dev/null && rmdir "$probe"
}

if [ "$(id -u)" = 0 ] || may_divide; then exec "$@"; fi
if ! command -v sudo >/dev/null 2>&1; then
    say "no sudo: validators run without control groups, which only runtime.isolation = \"degraded\" allows"
    exec "$@"
fi

name=gdo-make-$(id -u)-$$
made= join=
for controller in memory pids cpu cpuacct; do
    mount=$(legacy_mount $controller)
    [ -n "$mount" ] || continue
    group=$mount$(own_group "[^:]*$controller[^:]*")/$name
    made="$made $group" join="$join $group"
done
unified=$(unified_mount)
if [ -n "$unified" ] && [ -z "$(legacy_mount memory)" ]; then
    # A group with processes cannot have limited children: the command gets a child of its own.
    for controller in memory pids cpu; do
        sudo sh -c "echo +$controller >$unified/cgroup.subtree_control" 2>/dev/null || true
    done
    made="$made $unified/$name/main $unified/$name" join="$join $unified/$name/main"
fi
say "giving this user control groups to limit validators in (sudo):$join"
for group in $join; do sudo mkdir -p "$group"; done
if [ -d "$unified/$name" ]; then
    for controller in memory pids cpu; do
        sudo sh -c "echo +$controller >$unified/$name/cgroup.subtree_control" 2>/dev/null || true
    done
fi
for group in $made; do sudo chown -R "$(id -u):$(id -g)" "$group"; done

status=0
# The shell inside says its own number: $$ would be this one's.
# shellcheck disable=SC2016
sh -c 'for group in $1; do echo $$ | sudo tee "$group/cgroup.procs" >/dev/null; done; shift; exec "$@"' \
    join "$join" "$@" || status=$?
for group in $made; do
    sudo find "$group" -mindepth 1 -depth -type d -exec rmdir {} + 2>/dev/null || true
    sudo rmdir "$group" 2>/dev/null || true
done
exit $status
