# Winback: `make help` lists what there is. Every target makes its own set-up.
.DEFAULT_GOAL := help
.PHONY: help setup demo test chaos fuzz lint types bench fmt clean
SHELL := /bin/sh
BIN := .venv/bin
READY := .venv/.ready

help: ## list these
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1|\2/p' Makefile | awk -F'|' '{printf "  %-12s %s\n", $$1, $$2}'

setup: $(READY) ## make .venv with everything pinned in requirements.lock

# The lock is checked by hash and complete, so nothing else is resolved or fetched. A Python
# without ensurepip (Debian without python3-venv) lends its own pip to a .venv that has none.
$(READY): requirements.lock pyproject.toml
	@set -e; python=; for candidate in python3 python3.14 python3.13 python3.12 python3.11; do \
	  if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    python=$$candidate; break; fi; done; \
	if [ -z "$$python" ]; then \
	  echo "Winback needs Python 3.11 or newer; python3 here is: $$(python3 --version 2>&1)." >&2; \
	  echo "Install one (Debian: apt-get install python3 python3-venv) and run make again." >&2; \
	  exit 1; fi; \
	if ! $(BIN)/python -c '' 2>/dev/null; then \
	  echo "Making .venv with $$($$python --version); installing what requirements.lock names"; \
	  $$python -m venv --clear .venv >/dev/null 2>&1 \
	    || $$python -m venv --clear --without-pip .venv || { \
	    echo "Could not make .venv (Debian: apt-get install python3-venv)." >&2; exit 1; }; fi; \
	pip="$(BIN)/python -m pip"; \
	if ! $$pip --version >/dev/null 2>&1; then pip="$$python -m pip --python $(BIN)/python"; fi; \
	export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore; \
	$$pip install --quiet --require-hashes -r requirements.lock || { \
	  echo "Could not install what requirements.lock names; pip says why above." >&2; exit 1; }; \
	$$pip install --quiet --no-deps --no-build-isolation -e .
	@touch $(READY)

demo: setup ## a shop that you can try, on a fast clock (ONCE=1: no person needed, ends by itself)
	$(BIN)/winback demo $(if $(ONCE),--once)

test: setup ## all tests, on all cores (ARGS="tests/unit -k name" for some)
	$(BIN)/pytest -q -n logical --maxprocesses 4 $(ARGS)

chaos: setup ## providers fail and workers die while messages go out (MESSAGES=20000: the long form)
	WINBACK_CHAOS_MESSAGES=$(or $(MESSAGES),1000) $(BIN)/pytest -q -s tests/acceptance/test_delivery_chaos.py

fuzz: setup ## try to break the loader of journeys (SECONDS=300)
	$(BIN)/python -m tests.fuzz.loader --seconds $(or $(SECONDS),300)

lint: setup ## style, formatting, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: setup ## the type checker
	$(BIN)/mypy

bench: setup ## measure the budgets beside their limits
	$(BIN)/winback bench

fmt: setup ## format the code and mend what can be mended
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

clean: ## remove .venv, caches and the state of `winback up` in var/
	rm -rf .venv var build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
