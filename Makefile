# The front door; Meson and Ninja do the work. `make` alone says what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup build run run-cluster test bench soak resilience coverage mutate check-format check-rooms format clean

# By name: Meson of Debian 12 counts every test among what is built by default.
programs := hypermeshd nexus packetfs stoqcat stoqperf

export HYPERMESH_DATA ?= $(CURDIR)/build/data
ifneq ($(wildcard .deps/busybox/busybox),)
export HYPERMESH_BUSYBOX ?= $(CURDIR)/.deps/busybox/busybox
endif

help: ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1#\2/p' $(firstword $(MAKEFILE_LIST)) | column -t -s '#' 2>/dev/null \
		|| sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1	\2/p' $(firstword $(MAKEFILE_LIST))

setup: ## install what building needs (root or sudo, only when something is missing)
	@scripts/setup

build: setup ## build hypermeshd, nexus, packetfs, stoqcat and stoqperf into build/bin
	@[ -f build/gcc/build.ninja ] || { echo "building in build/gcc: a minute or two the first time"; \
		mkdir -p build && CC=gcc meson setup build/gcc >build/setup.log || { cat build/setup.log; exit 1; }; }
	@ninja --quiet -C build/gcc $(programs)
	@mkdir -p build/bin && for p in $(programs); do ln -sfn ../gcc/$$p build/bin/$$p; done

run: build ## start a node, lease a slice of this machine, run a job in it, show what happened
	@PATH="$(CURDIR)/build/bin:$$PATH" scripts/run-demo

run-cluster: build ## four nodes that order their blocks together, one killed while a job runs; gets CometBFT once
	@scripts/setup --cluster
	@PATH="$(CURDIR)/build/bin:$$PATH" scripts/run-cluster

test: setup ## every test there is; the last line is the count
	@scripts/test

bench: build ## measure, side by side with peers
	@[ -x scripts/bench ] || { echo "make bench: no benchmarks are here yet"; exit 1; }
	@PATH="$(CURDIR)/build/bin:$$PATH" scripts/bench

soak: build ## run a mesh for a long time and watch it
	@[ -x scripts/soak ] || { echo "make soak: no soak test is here yet"; exit 1; }
	@PATH="$(CURDIR)/build/bin:$$PATH" scripts/soak

resilience: build ## clusters of four and seven under every fault; writes docs/resilience.md (root, 12 minutes)
	@scripts/setup --cluster
	@scripts/resilience

coverage: setup ## which statements the tests run; fails below 90 % in ledger, proof, store, engine
	@scripts/coverage

mutate: setup ## leave out each rule of the ledger, one at a time: a test must fail
	@scripts/mutate

check-format: ## fail if a source file is not formatted
	@scripts/format --check

check-rooms: ## fail if a room breaks the rules of ARCHITECTURE.md
	@scripts/check-rooms

format: ## format the source files
	@scripts/format

clean: ## remove build/ (not .deps/, and not a running node's data outside build/)
	@rm -rf build
