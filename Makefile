# From nothing but Python 3.11+ and make: `make demo`, `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
BATCH := .venv-batch
DEMO := demo_output

# Slow or broken connections: pip waits, asks again, and `make venv` runs it up to three times.
export PIP_DEFAULT_TIMEOUT ?= 120
export PIP_RETRIES ?= 10
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# TensorFlow's start-up notes about missing GPUs hide the lines that matter.
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: help venv demo test test-all test-batch lint clean

help:
	@echo "make demo      train, evaluate, export and denoise on sample photographs; minutes on two cores"
	@echo "make test      the test suite without the tests marked slow"
	@echo "make test-all  the whole test suite"
	@echo "make test-batch  the tests of batch inference, in an environment with Apache Beam ($(BATCH))"
	@echo "make lint      ruff: rules and formatting"
	@echo "make venv      only the virtual environment ($(VENV)) with everything installed"
	@echo "make clean     removes caches, build leftovers and the demo's output; keeps $(VENV)"

venv: $(INSTALLED)

$(INSTALLED): requirements.txt requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: $(PYTHON) is missing or older than 3.11: $$($(PYTHON) --version 2>&1)" >&2; \
	  echo "Name a newer one: make PYTHON=python3.12 venv" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@for attempt in 1 2 3; do \
	  echo "installing into $(VENV) (attempt $$attempt of 3)"; \
	  $(BIN)/python -m pip install --quiet -r requirements-dev.txt && exit 0; \
	  sleep 5; \
	done; echo "error: pip could not install requirements-dev.txt; see its messages above" >&2; exit 1
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# The main job, each step with the command a user would type.
demo: $(INSTALLED)
	rm -rf $(DEMO)
	$(BIN)/python train.py --preset=gradnet_tiny --dataset=sample --sigma=25 \
	  --precision=float32 --time_budget=90s --workdir=$(DEMO)/run
	$(BIN)/python evaluate.py --model=$(DEMO)/run --dataset=sample --sigma=25 \
	  --output=$(DEMO)/evaluation
	$(BIN)/python -m export --model=$(DEMO)/run --output=$(DEMO)/artefacts \
	  --formats=saved_model,tflite_float32
	$(BIN)/python -m datasets.noisy_photo --dataset=sample --sigma=25 --output=$(DEMO)/noisy.png
	$(BIN)/gradnet denoise $(DEMO)/noisy.png --output $(DEMO)/denoised \
	  --model $(DEMO)/artefacts/gradnet_tiny_float32.tflite
	@echo
	@echo "The report:             $(DEMO)/evaluation/report.html"
	@echo "The noisy photograph:   $(DEMO)/noisy.png"
	@echo "The denoised one:       $(DEMO)/denoised/"
	@echo "The exported models:    $(DEMO)/artefacts/"

test: $(INSTALLED)
	$(BIN)/python -m pytest -m "not slow"

test-all: $(INSTALLED)
	$(BIN)/python -m pytest

# Beam needs other versions than the rest of the project: see requirements-batch.txt.
$(BATCH)/.installed: requirements.txt requirements-dev.txt requirements-batch.txt pyproject.toml
	$(PYTHON) -m venv $(BATCH)
	$(BATCH)/bin/python -m pip install --quiet -r requirements-dev.txt
	$(BATCH)/bin/python -m pip install --quiet -r requirements-batch.txt
	$(BATCH)/bin/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

test-batch: $(BATCH)/.installed
	$(BATCH)/bin/python -m pytest $(wildcard tests/test_inference_batch*.py)
	$(BATCH)/bin/python -m benchmarks.batch_check

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf $(DEMO) build dist *.egg-info .pytest_cache .ruff_cache
	find . -path "./.venv*" -prune -o -name __pycache__ -type d -exec rm -rf {} +
