#!/bin/sh
# Install what is missing to build gdo (and to test it), on Debian and what derives from it.
#
#   scripts/deps.sh demo|test|soak|bench|bench-store|guest
#
# Says every package before it installs one, and installs none that is there. Uses sudo when it is
# not root. A compiler on PATH is taken as it is when it is new enough; else Debian's own is
# installed. On other systems it names the commands that are missing and ends.
set -eu
. "$(dirname "$0")/env.sh"

purpose=${1:?usage: scripts/deps.sh demo|test|soak|bench|bench-store|guest}
rust_min=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
git_min=2.39.5

# What must be there: a command that shows it, and the Debian package that brings it.
# libseccomp and the C library show themselves by a header, marked with a leading slash; RocksDB is
# compiled from source, and its binding is generated with libclang.
for_building="git=git gcc=gcc g++=g++ /usr/include/stdlib.h=libc6-dev pkg-config=pkg-config
    libseccomp.pc=libseccomp-dev libclang=libclang-dev ssh-keygen=openssh-client tar=tar
    /etc/ssl/certs/ca-certificates.crt=ca-certificates"
for_testing="static:busybox=busybox-static ssh=openssh-client sshd=openssh-server hledger=hledger
    ledger=ledger /usr/bin/python3=python3 mkfs.ext4=e2fsprogs mount=mount ip=iproute2 ps=procps curl=curl
    git-lfs=git-lfs skopeo=skopeo umoci=umoci"
for_soaking="podman=podman"
for_benching="crun=crun runc=runc git-lfs=git-lfs static:busybox=busybox-static nsenter=util-linux strip=binutils"
for_benching_store="casync=casync restic=restic borg=borgbackup bup=bup git-lfs=git-lfs ostree=ostree
    zstd=zstd /usr/bin/time=time mmdebstrap=mmdebstrap npm=npm /usr/bin/python3=python3"
for_guest="qemu-system-x86_64=qemu-system-x86 static:busybox=busybox-static strip=binutils
    dpkg-deb=dpkg setpriv=util-linux find=findutils"
case $purpose in
    demo) wanted=$for_building ;;
    test) wanted="$for_building $for_testing" ;;
    soak) wanted="$for_building $for_testing $for_soaking" ;;
    bench) wanted="$for_building $for_benching" ;;
    bench-store) wanted="$for_building $for_benching_store" ;;
    guest) wanted="$for_building $for_guest" ;;
    *) die "scripts/deps.sh: expected demo, test, soak, bench, bench-store or guest, got '$purpose'" ;;
esac

is_there() {
    case $1 in
        /*) [ -e "$1" ] ;;
        # Debian's other busybox is linked dynamically and of no use in an image of its own.
        static:*) command -v "${1#*:}" >/dev/null 2>&1 && ! ldd "$(command -v "${1#*:}")" >/dev/null 2>&1 ;;
        libclang) ls /usr/lib/llvm-*/lib/libclang.so >/dev/null 2>&1 ;;
        *.pc) pkg-config --exists "${1%.pc}" 2>/dev/null ;;
        *) command -v "$1" >/dev/null 2>&1 ;;
    esac
}

missing= packages=
for pair in $wanted; do
    is_there "${pair%%=*}" || {
        missing="$missing ${pair%%=*}"
        case " $packages " in *" ${pair#*=} "*) ;; *) packages="$packages ${pair#*=}" ;; esac
    }
done

# The compiler: the one on PATH, else the newest that Debian has under either name.
compiler_is_new_enough() {
    command -v cargo >/dev/null 2>&1 && command -v rustc >/dev/null 2>&1 || return 1
    rust_found=$(rustc --version 2>/dev/null | cut -d' ' -f2)
    [ -n "$rust_found" ] && at_least "${rust_found%%-*}" "$rust_min"
}
needs_compiler=false
compiler_is_new_enough || needs_compiler=true

if [ "$(id -u)" = 0 ]; then as_root=; else as_root=sudo; fi
# shellcheck disable=SC2086  # $as_root is nothing or one word, lists are words
apt_install() {
    say "installing Debian packages: $*"
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
updated=false
update_once() {
    $updated && return
    say "reading the lists of Debian packages (apt-get update)"
    $as_root apt-get update -qq >&2
    updated=true
}

# sshd comes for one test, which starts its own on a loopback port. The package would open port 22
# at once: it is kept from that.
install_packages() {
    case " $* " in *" openssh-server "*) ;; *) apt_install "$@"; return ;; esac
    say "openssh-server is installed for a test; its service stays off (to use it: systemctl unmask ssh)"
    if [ -d /run/systemd/system ]; then $as_root systemctl mask ssh.service ssh.socket >&2 || true; fi
    guard=/usr/sbin/policy-rc.d
    if [ -e "$guard" ]; then apt_install "$@"; return; fi
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$guard" >/dev/null
    $as_root chmod 0755 "$guard"
    status=0
    apt_install "$@" || status=$?
    $as_root rm -f "$guard"
    return $status
}

if [ -n "$packages" ] || $needs_compiler; then
    command -v apt-get >/dev/null 2>&1 ||
        die "not a Debian system; install these and try again:$missing$($needs_compiler && echo " and Rust $rust_min or newer from rustup")"
    [ -z "$as_root" ] || command -v sudo >/dev/null 2>&1 ||
        die "packages are missing and there is no sudo; as root run: apt-get install$packages"
    update_once
fi
# shellcheck disable=SC2086  # a list of words
[ -z "$packages" ] || install_packages $packages

# The newest version of package $1 that apt can install, without epoch and revision.
candidate() { apt-cache policy "$1" | sed -n 's/^ *Candidate: *//p' | sed 's/^[0-9]*://; s/[-+].*//; s/^(none)$//'; }

if $needs_compiler; then
    found=$(candidate rustc-web) plain=$(candidate rustc)
    if [ -n "$found" ] && at_least "$found" "$rust_min"; then
        apt_install rustc-web cargo-web
    elif [ -n "$plain" ] && at_least "$plain" "$rust_min"; then
        apt_install rustc cargo
    else
        die "Rust $rust_min or newer is needed; this Debian has rustc-web ${found:-none} and rustc ${plain:-none}; install rustup and try again"
    fi
    hash -r
    compiler_is_new_enough || die "rustc on PATH is ${rust_found:-missing}, expected $rust_min or newer; remove the old one"
fi

# Formatter and linter, to test: rustup brings its own, Debian's compiler has packages for them.
if [ "$purpose" = test ]; then
    tools=
    cargo fmt --version >/dev/null 2>&1 || tools="$tools rustfmt"
    cargo clippy --version >/dev/null 2>&1 || tools="$tools clippy"
    for tool in $tools; do
        case $tool-$(command -v rustc) in
            *rustup*|*/.cargo/bin/rustc) rustup component add "$tool" >&2 || true; continue ;;
        esac
        update_once
        for package in "$tool-web" "rust-web-$tool" "$tool" "rust-$tool"; do
            [ -n "$(candidate "$package")" ] || continue
            apt_install "$package" || true
            break
        done
    done
fi

git_found=$(git --version | cut -d' ' -f3)
at_least "$git_found" "$git_min" || die "git $git_found is too old: expected $git_min or newer"
say "using git $git_found, $(rustc --version | cut -d'(' -f1), target directory $CARGO_TARGET_DIR"
