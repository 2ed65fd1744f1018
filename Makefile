# Set-up in a virtual environment, a real search, and every test. Nothing but Python 3.11+, a C++20
# compiler and make is needed; second runs skip the set-up.

PYTHON ?= python3.11
ifeq (, $(shell command -v $(PYTHON)))
PYTHON := python3
endif
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= runs/demo
SOURCES := pyproject.toml constraints.txt CMakeLists.txt $(shell find cpp-store -type f -not -path '*/tests/*' -not -path '*/fuzz/*')

# Where it is set, every process compiles the package anew; a search starts several.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install demo docs test test-full test-fast test-services test-cpp build-sanitized sanitize fuzz wheel test-wheel lint tidy format clean

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /  make \1\t/'

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip

# What C++ is compiled with.
$(VENV)/.tools: $(BIN)/python constraints.txt
	@echo "Installing what the store is compiled with into $(VENV) ..."
	$(BIN)/pip install --quiet -c constraints.txt scikit-build-core pybind11 pyarrow cmake ninja
	touch $@

# Compiled anew whenever a C++ source changes; Python sources are used in place.
$(VENV)/.installed: $(VENV)/.tools $(SOURCES)
	@echo "Installing parsl_tl and what it needs into $(VENV) (a few minutes the first time) ..."
	$(BIN)/pip install --quiet -c constraints.txt --no-build-isolation --editable ".[cpu,plot,mpi]"
	touch $@

# JAX lies in a folder of its own: TensorFlow and DeepHyper import it wherever they find it, which
# takes a sixth of the time that a process starts in. Its tests name the folder.
$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install --quiet -c constraints.txt --no-build-isolation --editable ".[cpu,plot,mpi,dev]"
	$(BIN)/pip install --quiet -c constraints.txt --no-deps --upgrade --target $(VENV)/jax jax jaxlib
	touch $@

install: $(VENV)/.installed ## set up the virtual environment and compile the store

demo: $(VENV)/.installed ## search on handwritten digits, and show the best architectures
	@if [ -e "$(OUT)/config.json" ]; then \
	  $(BIN)/parsl-tl search --resume --out "$(OUT)" --max-evals 60; \
	else \
	  $(BIN)/parsl-tl search --problem digits --space dense-skip --config local --max-evals 60 --out "$(OUT)"; \
	fi

# Files of tests side by side, twice as many as two cores: they wait for processes of theirs.
TEST_JOBS ?= 4
PYTEST = $(BIN)/python -m pytest -n $(TEST_JOBS) --dist loadfile --no-loadscope-reorder

test: $(VENV)/.installed-dev ## run every test, TEST_JOBS=4 files at a time
	$(PYTEST)

test-full: $(VENV)/.installed-dev test-wheel ## run every test at full size, and those of the wheel
	$(PYTEST) --full

test-fast: $(VENV)/.installed-dev ## run the tests that take seconds
	$(PYTEST) -m "not slow"

test-services: $(VENV)/.installed-dev ## run what needs a redis-server, or Thallium, where they are
	$(PYTEST) -m "redis or thallium"

# The engine's own tests, built without the Python module; $(1) is the folder under build/.
CPP_JOBS ?= 2
build_cpp = $(BIN)/cmake -S . -B build/$(1) -G Ninja -DPARSL_TL_PYTHON=OFF -DPARSL_TL_TESTS=ON \
  -DCMAKE_MAKE_PROGRAM="$(abspath $(BIN)/ninja)" -DPython_EXECUTABLE="$(abspath $(BIN)/python)" \
  $(2) > /dev/null && $(BIN)/cmake --build build/$(1) -j $(CPP_JOBS) $(3)
ctest = $(BIN)/ctest --test-dir build/$(1) --output-on-failure --no-tests=error $(2)
FUZZ_TARGETS := $(notdir $(wildcard cpp-store/fuzz/corpus/*))
# What is found beyond the corpus is kept in build/.
run_fuzz = for target in $(FUZZ_TARGETS); do \
    mkdir -p build/$(1)/corpus/$$target; echo "fuzz $$target"; \
    build/$(1)/cpp-store/fuzz/fuzz_$$target $(2) -artifact_prefix=build/$(1)/$$target- \
      build/$(1)/corpus/$$target cpp-store/fuzz/corpus/$$target || exit 1; \
  done

test-cpp: $(VENV)/.tools ## run the C++ tests of the model store
	$(call build_cpp,cpp-tests,-DPARSL_TL_SANITIZE=)
	$(call ctest,cpp-tests,--label-exclude fuzz)

FUZZ_RUNS ?= 10000
# Several sources compiled as one, in half the time; test-cpp compiles each by itself.
UNITY := -DCMAKE_UNITY_BUILD=ON
build-sanitized: $(VENV)/.tools
	$(call build_cpp,sanitize-address,$(UNITY) -DPARSL_TL_SANITIZE=address$(COMMA)undefined -DPARSL_TL_FUZZ_RUNS=$(FUZZ_RUNS))
	$(call build_cpp,sanitize-thread,$(UNITY) -DPARSL_TL_SANITIZE=thread,--target left_right_tests engine_stress)

sanitize: build-sanitized ## run the C++ tests under the address, undefined and thread sanitizers
	$(call ctest,sanitize-address,--parallel $(CPP_JOBS))
	$(call ctest,sanitize-thread,-R "left_right_tests|engine_stress")
COMMA := ,

SECONDS ?= 60
FUZZ_CXX ?= $(shell command -v clang++ || echo $(CXX))
fuzz: $(VENV)/.installed ## fuzz every parser for SECONDS=60 each, with clang's libFuzzer if it is there
	$(call build_cpp,fuzz,-DPARSL_TL_SANITIZE=address$(COMMA)undefined -DCMAKE_CXX_COMPILER=$(FUZZ_CXX))
	$(call run_fuzz,fuzz,-max_total_time=$(SECONDS) -timeout=20 -rss_limit_mb=2048 -print_final_stats=1)

wheel: $(VENV)/.installed-dev ## build the wheel into dist/
	rm -rf dist
	$(BIN)/python -m build --wheel --no-isolation

test-wheel: wheel ## install the wheel into an empty environment, and search with it
	$(BIN)/python tests/packaging/smoke.py dist/*.whl

docs: $(VENV)/.installed-dev ## show the pages on http://127.0.0.1:8000
	$(BIN)/mkdocs serve --dev-addr 127.0.0.1:8000

CPP_SOURCES = $(shell find cpp-store -name '*.cpp' -o -name '*.hpp')

lint: $(VENV)/.installed-dev ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@echo "$(BIN)/clang-format --dry-run --Werror (all C++ sources)"
	@$(BIN)/clang-format --dry-run --Werror $(CPP_SOURCES)
	$(BIN)/mypy

# Not part of lint: it takes some seconds a file. FILES is a pattern of paths; tests are left out.
FILES ?= cpp-store/(benchmarks|client|engine|protocol|python|server|transports)/
tidy: $(VENV)/.installed-dev ## look for mistakes in C++ with clang-tidy, FILES=cpp-store/engine/ only there
	$(BIN)/cmake -S . -B build/tidy -G Ninja -DPARSL_TL_TESTS=ON -DCMAKE_EXPORT_COMPILE_COMMANDS=ON \
	  -DCMAKE_MAKE_PROGRAM="$(abspath $(BIN)/ninja)" -DPython_EXECUTABLE="$(abspath $(BIN)/python)" \
	  > /dev/null
	$(BIN)/run-clang-tidy.py -clang-tidy-binary "$(abspath $(BIN)/clang-tidy)" -p build/tidy \
	  -j $(CPP_JOBS) -quiet '$(FILES)'

format: $(VENV)/.installed-dev ## format the sources
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CPP_SOURCES)

clean: ## remove the virtual environment and everything built
	rm -rf $(VENV) build dist
