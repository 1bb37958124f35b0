# The environment of every target of the Makefile; sourced by the scripts beside it, never run.
#
# Sets `top` (the checkout), CARGO_TARGET_DIR (default: the user's cache, so that a read-only or
# shared checkout can be built), GDO_SHARE (where the dapps are built to) and a PATH that finds rustup's
# compiler and the tools of /usr/sbin also in shells that read no profile.

top=$(cd "$(dirname "$0")/.." && pwd -P)
cd "$top" || exit 1

: "${CARGO_TARGET_DIR:=${XDG_CACHE_HOME:-${HOME:?is not set}/.cache}/gdo/target}"
case $CARGO_TARGET_DIR in /*) ;; *) CARGO_TARGET_DIR=$top/$CARGO_TARGET_DIR ;; esac
: "${GDO_SHARE:=$CARGO_TARGET_DIR/share/gdo}"
case :$PATH: in
    *":$HOME/.cargo/bin:"*) ;;
    *) if [ -x "$HOME/.cargo/bin/cargo" ]; then PATH=$HOME/.cargo/bin:$PATH; fi ;;
esac
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export CARGO_TARGET_DIR GDO_SHARE PATH

# Says what is done next, on stderr: stdout belongs to what is run.
say() { printf '==> %s\n' "$*" >&2; }

# Ends with a message that names what to do.
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Whether version $1 is at least $2, by their dotted numbers.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n1)" = "$2" ]; }
