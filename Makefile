# Two commands do everything on a machine with Python (3.10 to 3.13) and make:
#   make demo    set up, then turn the bundled photos into one clean picture with a report
#   make test    set up, then run the tests
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
OUT    ?= demo_out
RUNS   ?= runs
DOCS   ?= docs_out
# Blender's package needs a Python 3.11 of its own.
RENDER_PYTHON ?= python3.11
RENDER_VENV   ?= .venv-render
RENDER_STAMP  := $(RENDER_VENV)/.installed

.PHONY: help demo app docs test modes lint format bench weights render-env clean
.DEFAULT_GOAL := help

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

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

app: $(STAMP) ## the page in the browser, on this machine alone
	$(BIN)/diar-ops app

docs: $(STAMP) ## the site -> docs_out/index.html; warnings are errors
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --doctree-dir $(DOCS)/.doctrees docs $(DOCS)

test: $(STAMP) ## the test suite; make test ARGS='-k ransac' to choose
	$(BIN)/python -m pytest -n auto $(ARGS)

modes: $(STAMP) ## every op in every mode of torch -> docs/modes.md
	$(BIN)/python -m pytest -n auto --modes=docs/modes.md $(ARGS)

lint: $(STAMP) ## ruff, mypy and import-linter, exactly as CI runs them
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(STAMP) ## apply ruff's fixes and formatting
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP) ## speed against the peers and the last release -> bench_out/; ARGS=--full adds large photos
	$(BIN)/python -m pytest benchmarks/ $(ARGS)

weights: $(STAMP) ## train the weights of diar-glass from nothing: make weights PICTURES=paintings/ (two hours)
	@test -d "$(PICTURES)" || { echo "name a folder of pictures to learn from: make weights PICTURES=paintings/" >&2; exit 1; }
	$(BIN)/python examples/train.py $(RUNS)/diar-1 @examples/recipes/diar-1.txt --textures $(PICTURES) --pool $(RUNS)/pool
	$(BIN)/python examples/train.py $(RUNS)/diar-2 @examples/recipes/diar-2.txt --textures $(PICTURES) --pool $(RUNS)/pool \
	  --initial $(RUNS)/diar-1/FaithfulDIAR.safetensors

render-env: $(RENDER_STAMP) ## Blender in an environment of its own, for examples/render_dataset.py

$(RENDER_STAMP): constraints-render.txt
	@$(RENDER_PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || \
	  { echo "rendering needs Python 3.11, the only one that bpy 4.5 runs on; name it with: make render-env RENDER_PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(RENDER_PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "Python's venv module is missing; on Debian and Ubuntu: apt install python3.11-venv" >&2; exit 1; }
	$(RENDER_PYTHON) -m venv $(RENDER_VENV)
	$(RENDER_VENV)/bin/python -m pip install --quiet -c constraints-render.txt bpy numpy
	@$(RENDER_VENV)/bin/python -c 'import bpy' >/dev/null || \
	  { echo "bpy is installed but cannot be imported; on a bare Debian or Ubuntu: apt install libx11-6 libxrender1 libxfixes3 libxi6 libxkbcommon0 libsm6 libgl1" >&2; exit 1; }
	@touch $@

clean: ## remove the environment and everything that was generated
	rm -rf $(VENV) $(RENDER_VENV) docs_out demo_out diar_out bench_out comparison .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .benchmarks .hypothesis
