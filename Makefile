# Two commands do everything on a machine with Python (3.10 to 3.13) and make:
#   make demo    set up, then turn the bundled photos into one clean picture with a report
#   make test    set up, then run the tests
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
OUT    ?= demo_out

.PHONY: help demo test lint format bench clean
.DEFAULT_GOAL := help

help: ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "diar_ops needs Python 3.10 to 3.13; name one with: make PYTHON=python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "Python's venv module is missing; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade -c constraints.txt pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP) ## the bundled photos -> demo_out/clean.png and demo_out/report.html
	$(BIN)/python examples/full_pipeline.py --out $(OUT) --overwrite

test: $(STAMP) ## the test suite; make test ARGS='-k ransac' to choose
	$(BIN)/python -m pytest -n auto $(ARGS)

lint: $(STAMP) ## ruff and mypy, exactly as CI runs them
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP) ## apply ruff's fixes and formatting
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP) ## speed against the peers; writes bench_out/ and prints the ratio table
	$(BIN)/python -m pytest benchmarks/ $(ARGS)

clean: ## remove the environment and everything that was generated
	rm -rf $(VENV) demo_out diar_out bench_out .pytest_cache .mypy_cache .ruff_cache .benchmarks .hypothesis
