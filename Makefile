# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test lint screenshots clean

demo: $(VENV)/installed
	$(BIN)/calsweep demo

# Two processes, each with its own Ray: one trains while the other waits. A file's tests stay together.
PYTEST_ARGS ?= --numprocesses 2 --dist loadfile --no-loadscope-reorder

test: $(VENV)/installed-test
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# From the home that `make demo` leaves; needs Debian's Chromium.
screenshots: $(VENV)/installed-test
	$(BIN)/python -m tests.dashboards.screenshots

clean:
	rm -rf $(VENV) .calsweep

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "Python 3.11 to 3.13 is needed, but $$($(PYTHON) --version) was found: make PYTHON=python3.11 ..."; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing calsweep into $(VENV): some minutes the first time ..."
	$(PIP) -e .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(PIP) -e '.[test]'
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed-test
	$(PIP) -e '.[test,dev]'
	@touch $@
