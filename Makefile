PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: quickstart test test-all lint mutants check-results bench-quantum bench-data clean

quickstart: $(INSTALLED)
	$(BIN)/hybridq quickstart

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("hybridq needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --config-settings editable_mode=compat --editable '.[dev]'
	touch $@

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/pytest

test-all: lint
	$(BIN)/pytest -m 'slow or not slow'

mutants: $(INSTALLED)
	$(BIN)/python tests/mutants

check-results: $(INSTALLED)
	$(BIN)/python -m papers.results --check

bench-quantum: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks.quantum --json docs/bench-quantum.json --plot docs/bench-quantum.png

bench-data: $(INSTALLED)
	$(BIN)/python -m benchmarks.data

$(VENV)/.installed-bench: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --config-settings editable_mode=compat --editable '.[bench]'
	touch $@

clean:
	rm -rf $(VENV)
