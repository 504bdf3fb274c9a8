# Every target sets itself up in .venv. Needed beforehand: Python >= 3.11 with venv and pip, and make.
#
#   make test ARGS="tests/policies -x"     ARGS goes to the tool behind demo, test, test-all, faults, bench, backends-check, mutate and docs
#   make test PYTHON=python3.13            the interpreter for a new .venv (after `make clean`)

PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
BENCH := .venvs/bench
UV_VERSION := 0.13.8
# Tests wait for processes and sockets more than they compute; each has files, ports and processes of its own. -n0 in ARGS runs them in a row.
SIDE_BY_SIDE := --numprocesses=logical --maxprocesses=4 --dist=worksteal
# No other environment, active in this shell, may get in the way; no Python is ever downloaded.
UV_IN = env -u VIRTUAL_ENV UV_PROJECT_ENVIRONMENT=$(1) UV_PYTHON_DOWNLOADS=never $(BIN)/uv --quiet
UV := $(call UV_IN,$(VENV))

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test test-all lint types layers sync sync-check docs faults bench bench-smoke mutate backends-check metrics-check wheel-test check format clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## a really flaky API: retried, cached, and its trace drawn
	@$(BIN)/python examples/flaky_api.py $(ARGS)

test: $(VENV)/.dev ## the whole suite
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(ARGS)

test-all: $(VENV)/.dev ## the suite on each Python of 3.11 to 3.14 that is installed, with examples of properties that were never tried
	@$(BIN)/python scripts/test_all.py $(SIDE_BY_SIDE) --hypothesis-profile=search $(ARGS)

lint: $(VENV)/.dev ## ruff: rules and format
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .

types: $(VENV)/.dev ## mypy --strict and pyright strict
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/pyright --warnings

layers: $(VENV)/.dev ## import-linter: arrows point down only
	@out=$$($(BIN)/lint-imports --no-logo 2>&1) || { echo "$$out"; exit 1; }

sync: $(VENV)/.dev ## write the sync twins of the _async folders
	@$(BIN)/python scripts/unasync.py

sync-check: $(VENV)/.dev ## fail when a sync twin is stale
	@$(BIN)/python scripts/unasync.py --check

docs: $(VENV)/.dev ## run every code block of README and docs, and every doctest
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE) tests/test_docs.py $(ARGS)

faults: $(VENV)/.dev ## kill, starve and race real runs, 840 rounds (ARGS="--only kill --rounds 20 --seed 7")
	@$(BIN)/python -m tests.faults $(ARGS)

bench: $(BENCH)/.bench ## what calls cost, beside the peers
	@$(BENCH)/bin/python -m benchmarks $(ARGS)

bench-smoke: $(VENV)/.dev ## a few of these costs, against generous limits
	@$(BIN)/python -m benchmarks --smoke

backends-check: $(VENV)/.dev .venvs/phoenix/.ready .venvs/mlflow/.ready ## a real run sent to a real Phoenix and a real MLflow (ARGS="--pictures docs/images")
	@$(BIN)/python scripts/backends_check.py $(ARGS)

mutate: $(VENV)/.dev ## change the code in small ways: does a test notice? (ARGS="policies/retry.py --sample 100")
	@$(BIN)/python scripts/mutate.py $(ARGS)

metrics-check: $(VENV)/.dev ## a real Prometheus scrapes the example and answers every query of the docs
	@$(BIN)/python scripts/metrics_check.py

wheel-test: $(VENV)/.dev ## build the wheel, compare it with the sources, and test it installed, from outside
	@$(BIN)/python scripts/wheel_test.py $(SIDE_BY_SIDE)

check: lint types layers sync-check test bench-smoke wheel-test ## every gate

format: $(VENV)/.dev ## let ruff repair what it can
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .

clean: ## remove environments, caches and builds
	@rm -rf .venv .venvs build dist .mypy_cache .ruff_cache .import_linter_cache .hypothesis .pytest_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps make a second run quick: uv is asked again only when pyproject.toml or uv.lock has changed.
# The demo's set-up takes nothing away that the suite needs (--inexact), and the suite's holds all that the demo needs.
$(VENV)/.demo: $(VENV)/.uv pyproject.toml uv.lock
	@$(UV) sync --locked --inexact --no-default-groups --group demo --extra cli --extra otlp
	@touch $@

$(VENV)/.dev: $(VENV)/.uv pyproject.toml uv.lock
	@$(UV) sync --locked --all-extras
	@touch $(VENV)/.demo $@

# Peers stay out of the suite's environment: they bring pytest plugins and versions of their own.
$(BENCH)/.bench: $(VENV)/.uv pyproject.toml uv.lock
	@$(call UV_IN,$(BENCH)) sync --python $(BIN)/python --locked --all-extras --no-default-groups --group bench
	@touch $@

# Servers to be sent to: a gigabyte, and versions of everything that would not go together with ours.
.venvs/phoenix/.ready: SERVER := arize-phoenix==20.26.1
.venvs/mlflow/.ready: SERVER := mlflow==3.17.2
.venvs/phoenix/.ready .venvs/mlflow/.ready: $(VENV)/.uv
	@echo "setting up $(@D) (once)"
	@$(BIN)/uv --quiet venv --clear --python $(BIN)/python $(@D)
	@$(BIN)/uv --quiet pip install --python $(@D)/bin/python $(SERVER)
	@touch $@

$(VENV)/.uv:
	@command -v $(PYTHON) >/dev/null || { echo "holdfast needs Python >= 3.11, and '$(PYTHON)' was not found: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "holdfast needs Python >= 3.11, and '$(PYTHON)' is $$($(PYTHON) -V 2>&1): make PYTHON=/path/to/a/newer/python3" >&2; exit 1; }
	@echo "setting up $(VENV) (once)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@
