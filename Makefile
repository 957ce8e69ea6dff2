# Every target works from a fresh clone: the virtual environment is made on first use.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help install demo app test lint bench clean
help:
	@echo "make demo   measure a small model here, plan a real log against API prices (under 3 minutes)"
	@echo "make app    the dashboard on the newest plan"
	@echo "make test   every test   |   make lint   style, types, layers   |   make bench   speed and accuracy tables"

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
	$(BIN)/python benchmarks/prices/run.py
	$(BIN)/python benchmarks/client/bench.py
