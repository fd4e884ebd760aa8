# A few commands do everything on a machine with Python 3.11 or newer and make:
#
#   make lab     the same in a browser
#   make demo    see what happens after the response, recorded here and now
#   make test    what CI runs: format, lint, types, import contracts, spelling, tests
#   make docs    the book, to read beside the source; make docs-serve shows it
#
# Each makes .venv first, with the versions in .ci/constraints.txt.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint .ci/constraints.txt

.PHONY: lab demo test bench left-out docs docs-serve reference lock clean

lab: $(VENV)/lab
	@$(BIN)/python -m demos.lab

demo: $(VENV)/lab
	@$(BIN)/python -m demos

test: $(VENV)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/python -m pytest -q -n auto

bench: $(VENV)/bench
	@$(BIN)/python -m demos.benchmarks.in_process
	@$(BIN)/python -m demos.benchmarks.typed
	@$(BIN)/python -m demos.benchmarks.over_uvicorn
	@$(BIN)/python -m demos.benchmarks.routing
	@$(BIN)/python -m demos.benchmarks.start_up
	@$(BIN)/python -m demos.benchmarks.memory

left-out: $(VENV)/dev
	$(BIN)/python docs/left_out.py

# The book, in site/: read beside the source. Nothing is fetched.
docs: $(VENV)/docs
	@$(BIN)/python -m docs.read_along.build

docs-serve: docs
	@echo "http://127.0.0.1:8001 (Ctrl-C stops)"
	@$(BIN)/python -m http.server --bind 127.0.0.1 --directory site 8001

reference: $(VENV)/dev
	$(BIN)/python -m docs.reference

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else f"miniasgi needs Python 3.11 or newer, this is {sys.version.split()[0]}; try: make PYTHON=python3.12")'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "this Python cannot make environments; on Debian: sudo apt-get install python3-venv"; exit 1; }
	@echo "making $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

# One stamp for each set of extras; a change of versions installs again.
$(VENV)/%: pyproject.toml .ci/constraints.txt | $(VENV)/bin/python
	@echo "installing miniasgi[$*] ..."
	@$(INSTALL) --editable '.[$*]'
	@touch $@

# The versions that the tests run with: install the newest, then write them down.
lock:
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet --editable '.[dev,bench]'
	$(VENV)-lock/bin/python -m pip freeze --exclude-editable > .ci/constraints.txt
	rm -r $(VENV)-lock

clean:
	rm -rf $(VENV) demos/recordings site .cache .coloured
