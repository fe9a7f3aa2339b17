# `make help` lists the targets. Everything lives in .venv and node_modules; nothing else is touched.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
# Two workers are stable on two cores; more cores get more, but not so many that timing tests starve.
WORKERS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); [ $$n -gt 4 ] && echo 4 || echo $$n)

# Where it is set, each of the thousand processes of a test run compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install dev check test synth clients browser bench clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(INSTALLED) ## make the environment in .venv (uv from PATH, or from PyPI)

# The stamp keeps `make dev` quick: uv runs only when a dependency changed.
$(INSTALLED): pyproject.toml uv.lock
	@if command -v uv >/dev/null 2>&1; then uv sync --locked --quiet; else \
	  if [ ! -x $(BIN)/uv ]; then \
	    $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Syncline needs Python 3.11 or newer: make install PYTHON=python3.12")' && \
	    $(PYTHON) -m venv .venv && $(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9'; \
	  fi && $(BIN)/uv sync --locked --quiet; fi
	@touch $@

dev: install ## start the development server for functions/
	@exec $(BIN)/syncline dev

check: install ## format, lint, types, import directions, architecture tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/pytest -q tests/architecture

clients: install ## install the official JavaScript clients for the tests
	$(BIN)/python -m scripts.node_toolchain install

browser: install ## find Chromium, or install it from Debian's packages as root
	$(BIN)/python -m scripts.chromium

test: install ## check, then every test
	@$(MAKE) --no-print-directory -j3 check clients browser
	PYTHONHASHSEED=0 $(BIN)/pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder tests infra_tests --ignore=tests/architecture

synth: install ## write the CloudFormation templates to cdk.out, judged by cdk-nag and cfn-lint
	$(BIN)/python cdk/app.py
	$(BIN)/cfn-lint --non-zero-exit-code error --ignore-checks W -- cdk.out/*.template.json

bench: install clients ## measure; see docs/performance.md
	$(BIN)/python -m benchmarks

clean: ## remove the environment and everything built
	rm -rf .venv dist build cdk.out .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	rm -rf tests/clients/node_modules examples/*/node_modules
