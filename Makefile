# Every target installs what it needs into .venv first; a fresh machine needs Python >= 3.11 and make.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

PYTHON ?= python3
# The core runs on any torch >= 2.6; this is the build the pinned environment uses.
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# As a module: it imports the package `documentation` from here. The variable silences an advertisement.
# Not --quiet: warnings that are not shown do not count as errors either.
MKDOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs

# Real data where it is already there; without it data sets are downloaded on first use.
export HEUNBOARD_DATA_DIR
export OMP_NUM_THREADS ?= 1

.PHONY: help install demo test e2e check format docs docs-serve catalogue bench bench-service bench-queue bench-board efficiency agreement chaos contract compose-test clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Heunboard needs Python 3.11 or newer, found %s; try make PYTHON=python3.11" % sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@echo "Installing into $(VENV) (a few minutes, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$(TORCH)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,test,check,docs]'
	@touch $@

install: $(STAMP) ## create .venv with everything
	@echo "Installed. Next: . $(BIN)/activate && heunboard doctor"

demo: $(STAMP) ## from nothing to two leaderboards; KEEP=1 leaves the server running
	@$(BIN)/python -m service.cli.demo $(if $(KEEP),--keep)

test: $(STAMP) ## the whole test suite, SQLite and PostgreSQL
	@$(BIN)/python -m tests.e2e.chromium
	@$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

e2e: $(STAMP) ## the pages in a real Chromium, with axe; part of the whole suite
	@$(BIN)/python -m tests.e2e.chromium
	@$(BIN)/python -m pytest tests/e2e -n 2 --dist worksteal $(ARGS)

check: $(STAMP) ## format, lint, types, import contracts, links of the documentation
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(MKDOCS) build --strict
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: $(STAMP) ## format and sort imports
	@$(BIN)/ruff check --fix --select I .
	@$(BIN)/ruff format .

docs: $(STAMP) ## build the site of the documentation into out/site
	@$(MKDOCS) build --strict
	@echo "out/site/index.html"

docs-serve: $(STAMP) ## the same on http://127.0.0.1:8001, built again when a page changes
	@$(MKDOCS) serve --dev-addr 127.0.0.1:8001 --watch documentation

catalogue: $(STAMP) ## write docs/reference/estimators.md from the registry
	@$(BIN)/python -m estimators.catalogue

bench: $(STAMP) ## speed beside a plain PyTorch loop, about 25 minutes; ARGS="--quick" for six
	@$(BIN)/python -m benchmarks.commands.speed $(ARGS)

bench-service: $(STAMP) ## whole sweeps beside plain scripts, about 25 minutes; ARGS="--quick" for five
	@$(BIN)/python -m service.benchmark $(ARGS)

PEERS := out/bench-queue-peers
$(PEERS)/bin/python:
	@echo "Installing Optuna and MLflow into $(PEERS) (a minute or two, once)"
	@$(PYTHON) -m venv $(PEERS)
	@$@ -m pip install --quiet --disable-pip-version-check optuna mlflow

bench-queue: $(STAMP) $(PEERS)/bin/python ## wide sweeps, reports, pages; beside Optuna and MLflow, about 15 minutes; ARGS="--quick" for four
	@$(BIN)/python -m service.benchmark.queue --peers $(PEERS)/bin/python $(ARGS)

bench-board: $(STAMP) ## boards of up to a million trials on both databases, about 20 minutes; ARGS="--trials 10000" for one
	@$(BIN)/python -m service.benchmark.board $(ARGS)

efficiency: $(STAMP) ## time and memory of estimators beside Table 3 of the ReinMax paper, minutes; ARGS="--device cuda"
	@$(BIN)/python -m benchmarks.commands.efficiency $(ARGS)

agreement: $(STAMP) ## train on MNIST beside published curves, some minutes; exit status 1 where they disagree
	@$(BIN)/python -m benchmarks.commands.agreement $(ARGS)

chaos: $(STAMP) ## kill and freeze everything on both databases until something breaks; FAULTS=100, ARGS="--lease 15"
	@$(BIN)/python -m tests.chaos --faults $(or $(FAULTS),100) $(ARGS)

contract: $(STAMP) ## Schemathesis at running servers on both databases, many minutes; ARGS="--examples 10"
	@$(BIN)/python -m tests.contract $(ARGS)

compose-test: $(STAMP) ## build the images, compute on two workers, kill one, restart all, look for leaks; ARGS="--patience 3" on a busy machine
	@$(BIN)/python docker/compose_test.py $(ARGS)

clean: ## remove .venv and caches
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache build dist out
