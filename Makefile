# Everything sets itself up into .venv from the lock files; only Python 3.11+, make and git are needed.
PYTHON ?= python3
BIN := .venv/bin
PHOTOS ?=
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Tests start hundreds of processes, each of which would compile this package again.
unexport PYTHONDONTWRITEBYTECODE
# Compiling all packages takes longer than to install them, and few of their modules are ever imported.
INSTALL := $(PIP) install --quiet --no-compile --require-hashes --only-binary :all:

# Several processes share the cores in the suites: threads that wait for work must not keep a core busy meanwhile.
PYTEST := OMP_WAIT_POLICY=passive OPENBLAS_NUM_THREADS=1 $(BIN)/pytest
# Types are checked beside the suites; what comes first is a matter of a second.
BESIDE := $(MAKE) --no-print-directory -j 2 types

.PHONY: help setup try test test-fast check lint types suites suites-fast fix wheel bench clean

help:
	@echo "make try [PHOTOS=~/Pictures]   index your photos (or a small sample) and search them"
	@echo "make test                      every check and test"
	@echo "make test-fast                 checks and the tests that need no server: two minutes"
	@echo "make check                     linting, types, layers;  make fix: format"
	@echo "make wheel                     dist/*.whl"
	@echo "make bench                     the measurements behind docs/numbers.md"

.venv/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Lookalike needs Python 3.11 or newer; say which with make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@touch $@

.venv/run: .venv/made requirements/run.lock requirements/build.lock pyproject.toml
	@echo "Installing into .venv ..."
	@$(INSTALL) -r requirements/run.lock -r requirements/build.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev: .venv/run requirements/dev.lock
	@$(INSTALL) -r requirements/dev.lock
	@touch $@

# Compiles the tests and what they import, once, lest each of the processes that run them does so.
.venv/compiled: .venv/dev
	@$(BIN)/pytest --collect-only -qq >/dev/null 2>&1 || true
	@touch $@

.venv/bench: .venv/dev requirements/bench.lock
	@$(INSTALL) -r requirements/bench.lock
	@touch $@

setup: .venv/dev

try: .venv/run
	@$(BIN)/lookalike try $(if $(PHOTOS),"$(PHOTOS)")

check: lint types

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: .venv/dev
	$(BIN)/mypy

fix: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Checks, unit tests and the contract of the embedded indexes: no servers, two minutes on two cores.
test-fast: lint
	@$(BESIDE) suites-fast

suites-fast: .venv/compiled
	$(PYTEST) -n 3 -m "not slow and not engine" tests/unit tests/index_contract

wheel: .venv/run
	$(BIN)/python -m hatchling build --target wheel --directory dist

# What the suites run against; where one cannot be had, its suites are skipped, or fail under REQUIRE_ENGINES=1.
.PHONY: engines
engines: .venv/dev
	@scripts/chromium.sh || true
	@for engine in postgresql elasticsearch milvus s3; do $(BIN)/python scripts/$$engine.py install || true; done

test: lint
	@$(BESIDE) suites

# Four suites side by side, for many wait for the engines that they start. What fails on a busy machine is tried again, and
# every such test is listed at the end (R).
suites: engines .venv/compiled
	$(PYTEST) -n 4 --reruns 2 --reruns-delay 2 -rR --rerun-show-tracebacks

bench: .venv/bench
	$(BIN)/python -m benchmarks

clean:
	rm -rf .venv dist
