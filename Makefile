# Every target makes its own environment in .venv, once; `make PYTHON=python3.12 test` picks the interpreter.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# How many scenarios `make fuzz` runs.
CASES  ?= 2000
# The theme's advertisement of its successor would be a warning of every build.
MKDOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs
# Which language `make docs-serve` shows.
CONFIG ?= mkdocs.yml

.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-aarch64 fuzz lint types docs docs-serve docs-check bench clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/tasks ## train small models on Chinese texts, and try them out
	$(BIN)/elman demo

# Tests start a hundred processes, which need not compile all modules anew.
test: export PYTHONDONTWRITEBYTECODE :=
test: $(VENV)/dev ## run the whole test suite
	$(BIN)/pytest -n auto --maxprocesses 4 --dist worksteal

test-all: $(VENV)/dev ## run every case of the tests that are sampled, too
	$(BIN)/pytest -n auto --maxprocesses 4 --dist worksteal --every-case

test-aarch64: $(VENV)/dev ## run the AArch64 kernels under qemu (CONTRIBUTING.md says what that takes)
	ELMAN_TEST_AARCH64=1 $(BIN)/pytest tests/compiler -k "neon or emulated"

fuzz: $(VENV)/dev ## compare with torch.nn in random scenarios; CASES=5000 makes it that many
	FUZZ_CASES=$(CASES) $(BIN)/pytest tests/fuzz --timeout=0 --hypothesis-show-statistics

lint: $(VENV)/dev ## check style and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/dev ## check types
	$(BIN)/mypy

docs: $(VENV)/docs ## build the site in both languages, in site/
	$(MKDOCS) build --strict
	$(MKDOCS) build --strict -f mkdocs.zh-CN.yml

docs-serve: $(VENV)/docs ## show the site while its pages are written; CONFIG=mkdocs.zh-CN.yml in Chinese
	$(MKDOCS) serve -f $(CONFIG)

docs-check: docs ## open every page of the site in headless Chromium
	$(BIN)/python docs/check.py

bench: $(VENV)/bench ## compare with all peers, for docs/performance.md; ARGS=--quick only prints, sooner
	$(BIN)/python -m benchmarks $(ARGS)
	$(if $(ARGS),,$(BIN)/python -m benchmarks.page)

clean: ## remove the environment and everything built
	rm -rf $(VENV) build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp file per extra: installed again only when the metadata or the pins change.
$(VENV)/tasks $(VENV)/dev $(VENV)/bench $(VENV)/docs: $(VENV)/%: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[$*]"
	touch $@
