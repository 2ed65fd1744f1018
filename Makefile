# Set-up in a virtual environment, a real search, and every test. Nothing but Python 3.11+, a C++20
# compiler and make is needed; second runs skip the set-up.

PYTHON ?= python3.11
ifeq (, $(shell command -v $(PYTHON)))
PYTHON := python3
endif
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= runs/demo
SOURCES := pyproject.toml constraints.txt CMakeLists.txt $(shell find cpp-store -type f)

.DEFAULT_GOAL := help
.PHONY: help install demo test test-fast lint format clean

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /  make \1\t/'

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip

# Compiled anew whenever a C++ source changes; Python sources are used in place.
$(VENV)/.installed: $(BIN)/python $(SOURCES)
	@echo "Installing parsl_tl and what it needs into $(VENV) (a few minutes the first time) ..."
	$(BIN)/pip install --quiet -c constraints.txt scikit-build-core pybind11 pyarrow cmake ninja
	$(BIN)/pip install --quiet -c constraints.txt --no-build-isolation --editable ".[cpu,plot]"
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install --quiet -c constraints.txt --no-build-isolation --editable ".[cpu,plot,dev]"
	touch $@

install: $(VENV)/.installed ## set up the virtual environment and compile the store

demo: $(VENV)/.installed ## search on handwritten digits, and show the best architectures
	@if [ -e "$(OUT)/config.json" ]; then \
	  $(BIN)/parsl-tl search --resume --out "$(OUT)" --max-evals 60; \
	else \
	  $(BIN)/parsl-tl search --problem digits --space dense-skip --config local --max-evals 60 --out "$(OUT)"; \
	fi

test: $(VENV)/.installed-dev ## run every test
	$(BIN)/python -m pytest

test-fast: $(VENV)/.installed-dev ## run the tests that take seconds
	$(BIN)/python -m pytest -m "not slow"

lint: $(VENV)/.installed-dev ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev ## format the Python sources
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove the virtual environment and everything built
	rm -rf $(VENV) build dist
