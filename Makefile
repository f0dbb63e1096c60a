# One virtual environment, .venv, for everything; it is made on first use and again when a requirement changes.
BIN := .venv/bin
INSTALLED := .venv/installed
TEMPORARY := $(or $(TMPDIR),/tmp)/cyclegan-edge-tests

# The first of these that runs and is new enough: a shim of that name may exist and not run.
PYTHON ?= $(firstword $(foreach python,python3.12 python3.13 python3.11 python3,$(shell \
	$(python) -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $(python))))

.PHONY: help demo test test-training test-running lint wheel clean

help:
	@echo 'make demo   train, export, verify and translate the embedded emoji; about 5 minutes after the installation'
	@echo 'make test   lint, types and tests'
	@echo 'make lint   lint and types only'
	@echo 'make wheel  dist/cyclegan_edge-VERSION-py3-none-any.whl, for other machines; docs/install.md says how to install it'
	@echo 'make clean  remove .venv, build files and caches; runs and reports stay'

demo: $(INSTALLED)
	$(BIN)/cyclegan demo

# Two halves at a time, each on one thread: that is quickest on two cores. A half's output appears when it has ended.
test: lint
	@echo 'Testing: about 15 minutes.'
	@OMP_NUM_THREADS=1 $(MAKE) --no-print-directory --jobs=2 --keep-going --output-sync=target test-training test-running

# Each half has temporary folders of its own: at its end pytest removes old ones, and would meet the other half there.
test-training: $(INSTALLED)
	@mkdir -p $(TEMPORARY)-training
	PYTEST_DEBUG_TEMPROOT=$(TEMPORARY)-training $(BIN)/pytest tests/trainer tests/export tests/benchmarks

test-running: $(INSTALLED)
	@mkdir -p $(TEMPORARY)-running
	PYTEST_DEBUG_TEMPROOT=$(TEMPORARY)-running $(BIN)/pytest tests/runtime tests/cli tests/project tests/gpu

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Without .venv, so that a small machine can do it; build/ could still hold files that the package no longer has.
wheel:
	rm -rf build dist
	@$(or $(PYTHON),python3) -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	@echo dist/*.whl

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .grimp_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The link lets mypy find the package by its name, whatever the clone is called.
$(INSTALLED): pyproject.toml constraints.txt
	@$(or $(PYTHON),false) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo 'CycleGAN Edge needs Python 3.11, 3.12 or 3.13; install one, or name it: make PYTHON=/path/to/python3.12' >&2; \
		exit 1; }
	$(PYTHON) -m venv .venv
	@echo 'Installing into .venv: 6 GB, some minutes.'
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[all,dev]'
	@$(BIN)/python -c 'import cv2' || { \
		echo 'OpenCV needs libGL and GLib: on Debian or Ubuntu, apt install libgl1 libglib2.0-0' >&2; \
		exit 1; }
	mkdir -p .venv/ns && ln -sfn ../.. .venv/ns/cyclegan_edge
	touch $@
