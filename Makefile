# From nothing but Python 3.11+ and make: `make demo`, `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
BATCH := .venv-batch
DEMO := demo_output
# Test processes at a time, each with all tests of one file; 0 runs them in this process.
TEST_JOBS ?= 2

# Slow or broken connections: pip waits, asks again, and `make venv` runs it up to three times.
export PIP_DEFAULT_TIMEOUT ?= 120
export PIP_RETRIES ?= 10
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# TensorFlow's start-up notes about missing GPUs hide the lines that matter.
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: help venv demo test test-all test-batch lint clean
# The browser demo: which weights, as which format of `python -m export`, and where the page is built.
WEB_MODEL ?= gradnet_small
WEB_FORMAT ?= tflite_float16_tile256
WEB_PAGE ?= out/web_demo
WEB_PORT ?= 8000
WEB_FILES := out/web_model/$(WEB_MODEL)_$(WEB_FORMAT)
WEB_PACKAGES := demo/web/node_modules/.package-lock.json
# The checks by other processors and other runtimes.
ARM64_FILES := out/arm64/files
ARM64_FORMATS ?= tflite_float32,tflite_float16,tflite_dynamic,tflite_int8,tflite_float32_tile256,tflite_int8_tile256
OPENVINO := out/openvino
OPENVINO_PACKAGES := openvino==2026.4.1 numpy==2.4.6

# The wheel, tried in bare environments (about 3 GB while it runs).
RELEASE_EXTRAS ?= none,litert,tensorflow,jax,hub,safetensors,tiff,plot,mat,app,openvino,raw,bm3d,batch
RELEASE_VENV := out/release/venv
DIST ?= out/release/dist
RELEASE_PACKAGES := build==1.6.1 twine==7.0.0

# The documentation as a site.
DOCS_VENV := out/docs/venv
DOCS_PACKAGES := mkdocs-material==9.8.2 mkdocstrings-python==2.0.11

.PHONY: release-check docs bench-check
.PHONY: web-demo web-demo-page web-demo-setup web-demo-test arm64-setup arm64-check openvino-check

help:
	@echo "make demo      train, evaluate, export and denoise on sample photographs; minutes on two cores"
	@echo "make test      the test suite without the tests marked slow (TEST_JOBS=2 processes)"
	@echo "make test-all  the whole test suite"
	@echo "make test-batch  the tests of batch inference, in an environment with Apache Beam ($(BATCH))"
	@echo "make web-demo  the browser demo on localhost; needs Node.js and npm (docs/web.md)"
	@echo "make web-demo-test   the same in headless Chromium, its result judged (make web-demo-setup)"
	@echo "make arm64-check     exported files under emulated ARM64, as root (make arm64-setup)"
	@echo "make openvino-check  exported files in OpenVINO, in an environment of its own"
	@echo "make release-check   wheel and sdist, checked and tried in a bare environment for each extra"
	@echo "make docs      the documentation as a site in out/docs/site, with the API reference"
	@echo "make bench-check     names what became slower than the stored ratios; on a quiet machine"
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
	  echo "installing requirements-dev.txt and all that it needs into $(VENV) (attempt $$attempt of 3):"; \
	  echo "about 3.3 GB, which takes some minutes; pip prints only warnings and errors"; \
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
	$(BIN)/python -m datasets noisy_photo --dataset=sample --sigma=25 --output=$(DEMO)/noisy.png
	$(BIN)/gradnet denoise $(DEMO)/noisy.png --output $(DEMO)/denoised \
	  --model $(DEMO)/artefacts/gradnet_tiny_float32.tflite
	@echo
	@echo "The report:             $(DEMO)/evaluation/report.html"
	@echo "The noisy photograph:   $(DEMO)/noisy.png"
	@echo "The denoised one:       $(DEMO)/denoised/"
	@echo "The exported models:    $(DEMO)/artefacts/"

test: $(INSTALLED)
	$(BIN)/python -m pytest -m "not slow" -n $(TEST_JOBS) --dist=loadfile

test-all: $(INSTALLED)
	$(BIN)/python -m pytest -n $(TEST_JOBS) --dist=loadfile

# Beam needs other versions than the rest of the project: see requirements-batch.txt.
$(BATCH)/.installed: requirements.txt requirements-dev.txt requirements-batch.txt pyproject.toml
	$(PYTHON) -m venv $(BATCH)
	$(BATCH)/bin/python -m pip install --quiet -r requirements-dev.txt
	$(BATCH)/bin/python -m pip install --quiet -r requirements-batch.txt
	$(BATCH)/bin/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

test-batch: $(BATCH)/.installed
	$(BATCH)/bin/python -m pytest tests/batch
	$(BATCH)/bin/python -m benchmarks.robustness.batch_check

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Ratios to LiteRT's float32 in one run, compared with benchmarks/speed/ratios.json.
bench-check: $(INSTALLED)
	$(BIN)/python -m benchmarks.speed --sides=256 --rounds=15 --check

web-demo: web-demo-page
	$(BIN)/python -m demo.web.serve --folder=$(WEB_PAGE) --port=$(WEB_PORT)

web-demo-page: $(INSTALLED) $(WEB_PACKAGES) $(WEB_FILES)/exported
	$(BIN)/python -m demo.web.build --card=$(WEB_FILES) --output=$(WEB_PAGE)

$(WEB_FILES)/exported: $(INSTALLED) $(wildcard gradnet_tf/weights/*.weights.h5)
	$(BIN)/python -m export --model=$(WEB_MODEL) --output=$(@D) --formats=$(WEB_FORMAT)
	@touch $@

$(WEB_PACKAGES): demo/web/package.json demo/web/package-lock.json
	@command -v npm >/dev/null || { \
	  echo "error: npm is missing; install Node.js 20 or newer (docs/web.md)" >&2; exit 2; }
	@for attempt in 1 2 3; do \
	  npm ci --prefix demo/web && exit 0; sleep 5; \
	done; echo "error: npm could not install demo/web/package-lock.json" >&2; exit 1
	@touch $@

# Chromium for the test, on Debian and Ubuntu as root; elsewhere any Chrome or Chromium will do.
web-demo-setup:
	sh demo/web/setup.sh

web-demo-test: web-demo-page
	GRADNET_WEB_PAGE=$(WEB_PAGE) GRADNET_WEB_VISIT=out/web_visit \
	  $(BIN)/python -m pytest -s tests/demo/test_demo_web_page.py

arm64-setup:
	apt-get -o DPkg::Lock::Timeout=600 update
	apt-get -o DPkg::Lock::Timeout=600 install --yes --no-install-recommends \
	  debootstrap qemu-user-static

arm64-check: $(ARM64_FILES)/exported
	nice $(BIN)/python -m tools.checks_arm64 $(ARM64_FILES)/*.tflite

# The smallest network: emulated, the others take minutes and show nothing more.
$(ARM64_FILES)/exported: $(INSTALLED)
	$(BIN)/python -m export --model=gradnet_tiny --output=$(@D) --formats=$(ARM64_FORMATS)
	@touch $@

openvino-check: $(INSTALLED) $(OPENVINO)/venv/installed
	GRADNET_OPENVINO_PYTHON=$(OPENVINO)/venv/bin/python \
	  $(BIN)/python -m pytest -s tests/tools/test_checks_openvino.py

$(OPENVINO)/venv/installed:
	$(PYTHON) -m venv $(OPENVINO)/venv
	$(OPENVINO)/venv/bin/python -m pip install --quiet $(OPENVINO_PACKAGES)
	@touch $@

docs: $(DOCS_VENV)/installed
	NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/python -m mkdocs build --strict

$(DOCS_VENV)/installed:
	$(PYTHON) -m venv $(DOCS_VENV)
	$(DOCS_VENV)/bin/python -m pip install --quiet $(DOCS_PACKAGES)
	@touch $@

release-check: $(RELEASE_VENV)/installed
	$(RELEASE_VENV)/bin/python -m tools.release_check --extras=$(RELEASE_EXTRAS) --output=$(DIST)

$(RELEASE_VENV)/installed:
	$(PYTHON) -m venv $(RELEASE_VENV)
	$(RELEASE_VENV)/bin/python -m pip install --quiet $(RELEASE_PACKAGES)
	@touch $@

clean:
	rm -rf $(DEMO) build dist *.egg-info .pytest_cache .ruff_cache
	find . -path "./.venv*" -prune -o -name __pycache__ -type d -exec rm -rf {} +
