# counterflow: every chore has one name. `make help` lists them.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash

# A Python of your own choice: make demo PYTHON=/path/to/python3.12
PYTHON ?= $(shell for p in python3.12 python3.13 python3.11 python3 python python3.14; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
BENCH_JAX := .venv-bench-jax
BENCH_DICE := .venv-bench-dice
OUT ?= demo-output
JOBS ?= 2

# What each chore installs on top of the package itself.
EXTRAS_demo := plots,tables
EXTRAS_test := test
EXTRAS_docs := docs
EXTRAS_bench := bench
EXTRAS_lint := test,lint

.PHONY: help demo test bench docs lint clean

help: ## List the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

demo: $(VENV)/.installed-demo ## Explain real rows with a real model; writes demo-output/report.html
	$(BIN)/counterflow demo --out $(OUT)

test: $(VENV)/.installed-test ## Run the whole test suite, the examples in docstrings included
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

bench: $(VENV)/.installed-bench $(BENCH_JAX)/.installed $(BENCH_DICE)/.installed ## Measure speed against peers; writes benchmarks/results
	$(BIN)/python -m benchmarks $(ARGS)

docs: $(VENV)/.installed-docs ## Build the documentation and execute its pages; see docs/_build/html
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

lint: $(VENV)/.installed-lint ## Check style, types and floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright
	$(BIN)/pyright -p pyright-strict.json

clean: ## Remove what the other targets made, the environments included
	rm -rf $(VENV) $(BENCH_JAX) $(BENCH_DICE) $(OUT) docs/_build .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist build

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "counterflow needs Python 3.11 or newer with the venv module, and found none on the PATH: install one, or name it with make PYTHON=/path/to/python3.12." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "counterflow needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) -V 2>&1): name a newer one with make PYTHON=/path/to/python3.12." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-%: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP_INSTALL) -e '.[$(EXTRAS_$*)]'
	@touch $@

# flowjax in an environment of its own: jax and torch need not agree on the versions of what both use.
$(BENCH_JAX)/.installed: benchmarks/constraints-jax.txt | $(VENV)/bin/python
	$(VENV)/bin/python -m venv $(BENCH_JAX)
	$(BENCH_JAX)/bin/python -m pip install --quiet --disable-pip-version-check -c $< flowjax optax
	@touch $@

# dice-ml in an environment of its own: it may need other versions of what both use.
$(BENCH_DICE)/.installed: benchmarks/constraints-dice.txt | $(VENV)/bin/python
	$(VENV)/bin/python -m venv $(BENCH_DICE)
	$(BENCH_DICE)/bin/python -m pip install --quiet --disable-pip-version-check -c $< dice-ml
	@touch $@
