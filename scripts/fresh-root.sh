#!/bin/sh
# Prove the README's commands in a new Debian root with nothing but make, git, sudo and the checkout.
#
#   scripts/fresh-root.sh [-k] [-a root|user|both] [COMMAND]      (default: both, 'make demo && make test')
#
# Makes the root with mmdebstrap, clones what is committed into the home of root and of an ordinary
# user with sudo (0700 homes), and runs COMMAND there as each, in namespaces of its own: when it
# ends, every process and mount of it is gone. The machine's own package sources, certificates and
# proxy settings are taken over as they are. -k keeps the root and says where it is. Needs root.
set -eu
. "$(dirname "$0")/env.sh"

keep=false accounts="root builder"
while getopts ka: option; do
    case $option in
        k) keep=true ;;
        a) case $OPTARG in
               root) accounts=root ;;
               user) accounts=builder ;;
               both) ;;
               *) die "-a: expected root, user or both, got '$OPTARG'" ;;
           esac ;;
        *) die "usage: scripts/fresh-root.sh [-k] [-a root|user|both] [COMMAND]" ;;
    esac
done
shift $((OPTIND - 1))
command=${1:-make demo && make test}

[ "$(id -u)" = 0 ] || die "needs root: it makes a root file system and enters it"
command -v mmdebstrap >/dev/null 2>&1 || die "mmdebstrap is missing: apt-get install mmdebstrap"
suite=$(. /etc/os-release && echo "${VERSION_CODENAME:?this is not a Debian release}")

base=$(mktemp -d "${TMPDIR:-/var/tmp}/gdo-fresh.XXXXXX")
chmod 0755 "$base"
if $keep; then trap 'say "kept $base"' EXIT; else trap 'rm -rf "$base"' EXIT; fi

say "making a $suite root in $base"
mmdebstrap --quiet --variant=minbase --include=make,git,ca-certificates,sudo "$suite" "$base/root.tar"

# Unpacks a root for account $1 at $root: package sources, keys, certificates and names as on this
# machine, and the checkout in the account's home.
prepare() {
    account=$1 root=$base/$1
    mkdir "$root"
    tar -C "$root" -xf "$base/root.tar"
    rm -f "$root/etc/apt/sources.list"
    for path in etc/apt/sources.list etc/apt/sources.list.d etc/apt/apt.conf.d etc/apt/keyrings \
        etc/apt/trusted.gpg.d usr/share/keyrings etc/ssl/certs usr/local/share/ca-certificates \
        etc/resolv.conf etc/hosts; do
        [ -e "/$path" ] || continue
        mkdir -p "$(dirname "$root/$path")"
        cp -RL "/$path" "$(dirname "$root/$path")/" 2>/dev/null || true
    done
    if [ "$account" != root ]; then
        chroot "$root" useradd --create-home --shell /bin/sh "$account"
        echo "$account ALL=(ALL) NOPASSWD: ALL" >"$root/etc/sudoers.d/$account"
    fi
    home=$(chroot "$root" sh -c "echo ~$account")
    git clone --quiet --no-hardlinks "$top" "$root$home/gdo"
    cargo_config=${CARGO_HOME:-$HOME/.cargo}/config.toml
    if [ -e "$cargo_config" ]; then
        mkdir -p "$root$home/.cargo"
        cp "$cargo_config" "$root$home/.cargo/config.toml"
    fi
    chroot "$root" chown -R "$account:$account" "$home"
    chroot "$root" chmod 0700 "$home"
}

# Settings of proxies, certificates and registries go in; nothing else of this environment does.
kept=$(env | sed -n 's/^\(\(https\{0,1\}\|no\|ftp\|all\)_proxy\|\(HTTPS\{0,1\}\|NO\|ALL\)_PROXY\|SSL_CERT_[A-Z]*\|CURL_CA_BUNDLE\|CARGO_REGISTRIES_[A-Z_]*\|CARGO_HTTP_[A-Z_]*\)=.*/\1/p')
pass=
for name in $kept; do
    eval "value=\$$name"
    pass="$pass $name=$value"
done

# pivot_root rather than chroot: the kernel makes no user namespaces for a process in a chroot.
enter='
    root=$1 account=$2 command=$3; shift 3
    mount --bind "$root" "$root"
    cd "$root"
    mount -t proc proc proc
    # What the kernel has once for the whole machine is shown read-only, but for control groups; the
    # devices are its own.
    mount --rbind /sys sys
    mount -o remount,bind,ro sys
    mount -t tmpfs -o mode=0755 tmpfs dev
    mkdir dev/pts dev/shm
    mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts dev/pts
    mount -t tmpfs -o mode=1777 tmpfs dev/shm
    ln -s pts/ptmx dev/ptmx
    ln -s /proc/self/fd dev/fd
    for device in "null 1 3" "zero 1 5" "full 1 7" "random 1 8" "urandom 1 9" "tty 5 0"; do
        set -- $device "$@"
        mknod -m 0666 dev/$1 c $2 $3
        shift 3
    done
    ln -s /proc/self/fd/0 dev/stdin
    ln -s /proc/self/fd/1 dev/stdout
    ln -s /proc/self/fd/2 dev/stderr
    mknod -m 0660 dev/loop-control c 10 237
    for number in 0 1 2 3 4 5 6 7; do mknod -m 0660 dev/loop$number b 7 $number; done
    mount -t tmpfs -o mode=0755 tmpfs run
    mkdir -p old
    pivot_root . old
    umount -l /old
    home=$(eval echo ~$account)
    exec env -i "$@" PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
        HOME="$home" USER="$account" TERM="${TERM:-dumb}" \
        setpriv --reuid "$account" --regid "$account" --init-groups \
        sh -c "cd ~/gdo && { $command; }"
'
status=0
for account in $accounts; do
    prepare "$account"
    say "as $account: $command"
    began=$(date +%s)
    # shellcheck disable=SC2086  # $pass is a list of assignments
    if unshare --mount --pid --ipc --uts --fork --kill-child --propagation private \
        sh -eu -c "$enter" enter "$root" "$account" "$command" $pass; then
        say "as $account: ok after $(($(date +%s) - began)) s"
    else
        status=1
        say "as $account: FAILED after $(($(date +%s) - began)) s"
    fi
done
exit $status
