# The front door. Every target sets itself up: it installs what it needs (and says what), builds the third-party libraries
# once into a cache outside the sources, and then does its work under build/.
#
#   make                every program for this machine
#   make test           set up, build, run every test
#   make check          the gate: format, warnings, layers, …; its steps: tests/gate/check --help
#   make demo           watch the whole path work: LOG=kafka
#   make arm64 armhf    cross-compile the agent
#   make arm-test       the agent's unit tests as arm64 programs, and its size; part of make test
#   make asan tsan      the tests under sanitizers
#   make coverage       the tests with gcov counting, in build/coverage
#
#   make sim            the whole path simulated, seed by seed: SEEDS=100 SEED=1
#   make soak           real programs killed and misled, then judged: SECONDS=60 or KILLS=N, SEED=, LOG=, BROKERS=3, FAULTS=kill,net,…
#   make sweep          a fault at every point between a reading and its alarm
#   make faults         only builds the programs with fault points that make sweep uses, in build/faults
#   make crash          a power cut at every write and sync of the agent's buffer and of the SQLite log
#   make broker-errors  10,000 batches while the brokers fail
#   make fuzz           every fuzz target: SECONDS_EACH=60, TARGET=
#   make bench          how fast, in minutes
#   make evidence       every proof at full size, goes on where it was: PARTS="a b"
#
#   make measurements   docs/measurements.md from the results
#   make house          the picture in docs/architecture.md from the build
#   make manuals        docs/man from the programs
#   make clean          remove build/, demo-run/, bench-run/ and waits-run/
SHELL := /bin/bash
LOG ?= sqlite
SECONDS_EACH ?= 60
JOBS ?= $(shell nproc)
BUILD := build/host
# Where the demo keeps everything that it makes.
DEMO_DIR ?= demo-run

.PHONY: all build demo test check bench evidence measurements fuzz broker-errors faults sweep crash soak sim asan tsan coverage arm64 armhf arm-test house manuals clean help
.DEFAULT_GOAL := all

all: build
	@echo "Programs are in $(BUILD)/bin. Next: make demo, make test."

build:
	@cross/setup demo
	@cross/deps build --target host
	@cmake --preset host >$(BUILD).configure.log 2>&1 || { cat $(BUILD).configure.log; exit 1; }
	@cmake --build --preset host -j $(JOBS)

$(shell mkdir -p build)

demo: build
	@if [ "$(LOG)" = kafka ]; then cross/setup kafka && cross/kafka/fetch >/dev/null; fi
	@tests/demo/demo --log "$(LOG)" --programs $(BUILD)/bin --dir "$(DEMO_DIR)"

test:
	@cross/setup test kafka arm
	@cross/deps build --target host
	@cross/kafka/fetch >/dev/null && cross/jars tests/interop/californium >/dev/null
	@cmake --preset host >$(BUILD).configure.log 2>&1 || { cat $(BUILD).configure.log; exit 1; }
	@cmake --build --preset host -j $(JOBS)
	@$(MAKE) --no-print-directory arm-test faults
	@tests/run $(BUILD)

# The unit tests of lib and the agent as arm64 programs under emulation, the agent built for armhf, and its size.
arm-test: arm64 armhf
	@ctest --test-dir build/arm64 -L unit -j $(JOBS) --no-tests=error --output-on-failure

check:
	@cross/setup test check
	@cross/deps build --target host
	@tests/gate/check

arm64 armhf:
	@cross/setup arm
	@cross/deps build --target $@
	@cmake --preset $@ >build/$@.configure.log 2>&1 || { cat build/$@.configure.log; exit 1; }
	@cmake --build --preset $@ -j $(JOBS)

asan tsan coverage:
	@cross/setup test kafka
	@cross/deps build --target host $(if $(filter asan,$@),--asan) $(if $(filter tsan,$@),--tsan)
	@cross/kafka/fetch >/dev/null
	@cmake --preset $@ >build/$@.configure.log 2>&1 || { cat build/$@.configure.log; exit 1; }
	@cmake --build --preset $@ -j $(JOBS)
	@tests/run build/$@

# The programs with fault points, under sanitizers: for the sweeps only.
faults:
	@cmake --preset faults >build/faults.configure.log 2>&1 || { cat build/faults.configure.log; exit 1; }
	@cmake --build --preset faults -j $(JOBS)

# Every fault point, and every call of our own code made to fail. make test has short forms of both.
sweep: build faults
	@cmake --build --preset host -j $(JOBS)
	@tests/sweep/points && tests/sweep/calls

# Every point in every mode. make test has a short form (ctest -L crash).
crash: build
	@tests/crash/powercut --build $(BUILD)

bench: build
	@cross/setup bench kafka
	@cross/kafka/fetch >/dev/null
	@tests/bench/gate --build $(BUILD)
	@tests/bench/bench all --programs $(BUILD)/bin

# SECONDS is how long it hurts; the short form of it is a test (ctest -L soak).
soak: build
	@if [ "$(LOG)" = kafka ]; then cross/setup kafka && cross/kafka/fetch >/dev/null; fi
	@tests/soak/soak --programs $(BUILD)/bin --log "$(LOG)" $(if $(KILLS),--kills $(KILLS),--seconds $(or $(SECONDS),60)) \
	    $(if $(SEED),--seed $(SEED)) $(if $(BROKERS),--brokers $(BROKERS)) $(if $(FAULTS),--faults $(FAULTS))

# SEEDS=N from SEED on; one seed alone, with all that happens: build/host/tests/vigia_sim --seed N --trace.
sim: build
	@cross/setup test
	@cmake --build --preset host -j $(JOBS) --target vigia_sim
	@tests/sim/run --build $(BUILD) --seeds $(or $(SEEDS),100) $(if $(SEED),--first-seed $(SEED)) --jobs $(JOBS)

fuzz:
	@cross/setup check
	@tests/fuzz/run --make --seconds $(SECONDS_EACH) --jobs $(JOBS) --coverage $(foreach t,$(TARGET),--target $(t))

broker-errors: build
	@tests/broker/errors

# Hours. PARTS="a b" runs only these parts; tests/evidence/run --list says which there are and which have a result.
evidence: build faults
	@cross/setup test check kafka bench arm
	@cross/kafka/fetch >/dev/null && cross/jars tests/interop/californium >/dev/null
	@tests/evidence/run $(PARTS)
measurements:
	@tests/evidence/run --page

# Draws the picture in docs/architecture.md, and writes the manual pages, from what the build and the programs say themselves.
house: build
	@docs/house $(BUILD)/house.txt docs/architecture.md
manuals: build
	@docs/manuals $(BUILD)/bin docs/man

clean:
	rm -rf build demo-run bench-run waits-run

help:
	@sed -n '/^#   make /,/^SHELL/s/^# *//p' Makefile
