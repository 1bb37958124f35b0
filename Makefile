# The targets that people type; what they do stands in scripts/.
#
# CARGO_TARGET_DIR says where things are built (default: ~/.cache/gdo/target).

PREFIX ?= /usr/local
DESTDIR ?=

.PHONY: help demo test soak test-guest lint build bench bench-store install clean fresh-root

help:
	@echo 'make demo [KEEP=1]     install what is missing, build, play journeys A and B for real'
	@echo 'make test              install what is missing, check form and lints, run every test'
	@echo 'make soak              the tests that take long: a thousand runs, kills, containers'
	@echo 'make test-guest        the runtime in a virtual machine: control groups of version 2'
	@echo 'make lint              rustfmt, clippy, cargo-deny'
	@echo 'make build             the binary and the dapps that it ships, optimised'
	@echo 'make bench             measure, and print a table'
	@echo 'make bench-store       measure the chunk store beside its peers (needs root, mmdebstrap)'
	@echo 'make install PREFIX=   to $$PREFIX/bin and $$PREFIX/share/gdo (default /usr/local)'
	@echo 'make fresh-root        prove demo and test in a new Debian root (needs root, mmdebstrap)'
	@echo 'make clean             remove what was built'

demo:
	@KEEP=$(KEEP) scripts/demo.sh

test:
	@scripts/test.sh

soak:
	@scripts/soak.sh

test-guest:
	@scripts/test-guest.sh

lint:
	@scripts/lint.sh

build:
	@scripts/deps.sh demo
	@scripts/build.sh release

bench:
	@scripts/bench.sh

bench-store:
	@scripts/bench-store.sh

install: build
	@scripts/install.sh '$(DESTDIR)$(PREFIX)'

fresh-root:
	@scripts/fresh-root.sh

clean:
	@scripts/clean.sh
