# Every target works from a fresh clone: the virtual environment is made on first use.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTHON312 ?= $(or $(shell for p in python3.12 $$HOME/.pyenv/versions/3.12.*/bin/python3.12; do $$p -c pass 2>/dev/null && echo $$p && break; done),python3.12)
FOCUS := .venv-focus

.PHONY: help install demo app test lint bench focus-check clean
help:
	@echo "make demo   measure a small model here, plan a real log against API prices (under 3 minutes)"
	@echo "make app    the dashboard on the newest plan"
	@echo "make test   every test   |   make lint   style, types, layers   |   make bench   speed and accuracy tables"
	@echo "make focus-check   hold focus.csv of the example against the FOCUS 1.2 validator (needs Python 3.12)"

install: $(VENV)/installed

$(VENV)/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("breakeven needs Python 3.11 or newer, this is " + sys.version.split()[0] + ": set PYTHON=/path/to/python3.11 on the make command line")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

demo: install
	$(BIN)/breakeven demo

app: install
	$(BIN)/breakeven app

test: install
	$(BIN)/python -m pytest

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

bench: install
	$(BIN)/python benchmarks/simulator/run.py
	$(BIN)/breakeven validate planner/data/silicon_sample.csv.gz
	$(BIN)/breakeven validate benchmarks/accuracy/data/vllm_rtxpro6000_llama8b/requests.jsonl
	$(BIN)/python benchmarks/accuracy/folds.py
	$(BIN)/python benchmarks/workload/run.py
	$(BIN)/python benchmarks/prices/run.py
	$(BIN)/python benchmarks/decision/run.py
	$(BIN)/python benchmarks/client/bench.py

# The validator needs Python 3.12 and older numpy and pandas than breakeven, so it lives in an environment of its own.
$(FOCUS)/installed:
	@$(PYTHON312) -c 'import sys; sys.version_info[:2] == (3, 12) or sys.exit(1)' || { echo "the FOCUS validator needs Python 3.12: set PYTHON312=/path/to/python3.12 on the make command line"; exit 1; }
	$(PYTHON312) -m venv $(FOCUS)
	$(FOCUS)/bin/python -m pip install --quiet --disable-pip-version-check 'focus-validator==2.2.1' 'pyarrow<22'
	touch $@

focus-check: install $(FOCUS)/installed
	$(BIN)/breakeven plan examples --out runs/focus-check --no-pdf
	$(FOCUS)/bin/python benchmarks/focus/check.py runs/focus-check/focus.csv
