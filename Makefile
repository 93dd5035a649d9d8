# The two main targets: `make demo` starts two services, `make test` runs all checks. Both set up what they need.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
DURATION ?= 30m
# Each worker has its own control plane. The test files of a folder are distributed over the workers.
PARALLEL := -n 2 --dist loadfile
# Some slow tests mostly wait, so a third worker uses the idle time.
PARALLEL_SLOW := -n 3 --dist loadfile
# Tests marked `early` are collected first; keep them first.
IN_ORDER := --no-loadscope-reorder
ENGINE ?= $(firstword $(foreach engine,docker podman buildah,$(shell command -v $(engine))))
IMAGE  ?= aimd

.PHONY: demo test test-slow soak bench lint types layers unit faults integration e2e binaries image crds reference docs lock clean help
.DEFAULT_GOAL := help

help: ## List the targets.
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /  \1\t/' | expand -t 16

$(READY): requirements.lock pyproject.toml
	@echo "Setting up $(VENV) …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)

binaries: $(READY) ## Build the pinned control plane, KServe, Helm and image registry, once per user.
	@$(BIN)/aimd sandbox build

demo: $(READY) binaries ## Start two AIMServices and send them chat requests; DEMO=--keep leaves them running.
	@$(BIN)/aimd sandbox demo $(DEMO)

test: lint types layers unit faults integration e2e ## Run all checks: lint, types, import layers, all tests.

lint: $(READY) ## Check style and format.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) ## Check static types, in strict mode.
	$(BIN)/mypy

layers: $(READY) ## Check the import layers.
	$(BIN)/lint-imports

unit: $(READY) ## Run the unit tests: no process, no connection, a minute.
	$(BIN)/pytest $(PARALLEL) tests/unit

faults: $(READY) ## Run the tests of client, registries and downloads on a network that misbehaves.
	$(BIN)/pytest $(PARALLEL) tests/faults

integration: $(READY) binaries ## Run the tests against one real API server.
	$(BIN)/pytest $(PARALLEL) tests/integration

e2e: $(READY) binaries ## Run the tests in the whole sandbox: control plane, KServe, stand-ins, `aimd run` as its own process.
	$(BIN)/pytest tests/e2e

test-slow: $(READY) binaries ## Run the slow tests: crash points, failovers, chaos, thousands of objects.
	HYPOTHESIS_PROFILE=search $(BIN)/pytest $(PARALLEL) tests/unit tests/integration/test_runtime_apply.py
	$(BIN)/pytest $(PARALLEL_SLOW) $(IN_ORDER) -m slow tests/unit tests/faults tests/integration
	$(BIN)/pytest $(PARALLEL_SLOW) -m slow tests/e2e
	$(BIN)/pytest $(PARALLEL_SLOW) --operator=deployment tests/e2e

soak: $(READY) binaries ## Run edits, faults and restarts against an oracle; DURATION=30m (s, m or h) sets how long each test takes.
	AIMD_SOAK_DURATION=$(DURATION) $(BIN)/pytest -s -m soak tests

bench: $(READY) binaries ## Compare the runtime with bare loops and kopf; BENCH="unary queue" selects benchmarks.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r bench/requirements.lock
	$(BIN)/python -m bench $(BENCH) --keep

image: ## Build the image with docker, podman or buildah; IMAGE=REGISTRY/aimd:0.1.0 names it, IMAGE_FLAGS are passed on.
	@test -n "$(ENGINE)" || { echo "make image needs docker, podman or buildah" >&2; exit 1; }
	$(ENGINE) build $(IMAGE_FLAGS) --build-arg REVISION=$$(git rev-parse HEAD || echo unknown) --tag $(IMAGE) .

crds: $(READY) ## Render crds/ from the API types.
	$(BIN)/aimd crds --output crds

reference: $(READY) ## Render the generated pages of docs/: configuration, chart values, conditions, fields.
	@$(BIN)/aimd reference

# Not with --quiet: it hides the warnings before strict mode counts them.
docs: $(READY) ## Build the documentation site into site/.
	$(BIN)/mkdocs build

lock: $(READY) ## Update requirements.lock.
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet pyproject.toml --all-extras --group dev --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --python-version 3.11 --output-file requirements.lock

clean: ## Remove the virtual environment and the tools' caches.
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache site
