# Each target sets up what it needs; run it again and it starts at once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DOCS := $(VENV)/.installed-docs

.PHONY: report test lint test-slow fuzz search bench docs clean

report: $(STAMP)          ## the main job: install, then the quick cross-check report
	$(BIN)/asq report --quick -o report

test: $(STAMP)            ## the default test suite
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not benchmark and not fuzz"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-slow: $(STAMP)
	$(BIN)/python -m pytest -n 2 -m slow

fuzz: $(STAMP)            ## damaged files and random options; FUZZ_INPUTS=100000 make fuzz: so many
	$(BIN)/python -m pytest -m fuzz tests/fuzz

search: $(STAMP)          ## the carried tables of tiles, made anew in search/ (hours; run again, it goes on)
	mkdir -p search
	$(BIN)/python -m hw.studies.search --jobs 2 -o search/tiles.json
	$(BIN)/python -m hw.studies.search --part wide --node nangate45 --jobs 2 -o search/tiles.json
	$(BIN)/python -m hw.studies.search --part fronts --jobs 2 -o search/fronts.json
	$(BIN)/python -m hw.studies.search --operands hw/data/operands.npz --jobs 2 -o search/tiles_trained.json

bench: $(STAMP)
	$(BIN)/python -m pytest -m benchmark -s

docs: $(DOCS)             ## the documentation as a site, site/index.html; any warning fails
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs site

$(DOCS): $(STAMP)
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e ".[docs]"
	@touch $@

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e ".[test]"
	@touch $@

clean:
	rm -rf $(VENV) report site .pytest_cache .mypy_cache .ruff_cache
