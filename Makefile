# Each target sets up what it needs; run it again and it starts at once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: report test lint test-slow bench clean

report: $(STAMP)          ## the main job: install, then the quick cross-check report
	$(BIN)/asq report --quick -o report

test: $(STAMP)            ## the default test suite
	$(BIN)/python -m pytest -n 2 -m "not slow and not benchmark"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-slow: $(STAMP)
	$(BIN)/python -m pytest -n 2 -m slow

bench: $(STAMP)
	$(BIN)/python -m pytest -m benchmark -s

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e ".[test]"
	@touch $@

clean:
	rm -rf $(VENV) report .pytest_cache .mypy_cache .ruff_cache
