# Weir's commands. Each makes the environment it needs from a hashed lock, so a fresh clone needs only
# git, make and a CPython from 3.12 on (find_python.sh says what it looked for if there is none).

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh
export SAM_CLI_TELEMETRY := 0

ROOT := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))
PY := $(ROOT)/.venv/bin/python
SAM := $(ROOT)/.venv-sam/bin/sam
FIND_PYTHON := PYTHON="$(PYTHON)" sh infra/build/find_python.sh
ENV := .venv/.installed
SAM_ENV := .venv-sam/.installed

# Local targets build for this machine; `make build ARCHITECTURE=arm64` builds what the template deploys by default.
HOST := $(shell uname -m)
ARCHITECTURE ?= $(if $(filter aarch64 arm64,$(HOST)),arm64,x86_64)

# make demo BUILT=1: run what `make build` made instead of the working tree.
BUILT ?=
# make test ARGS="tests/unit -k sse": what pytest is told.
ARGS ?=

.PHONY: help demo dev test test-built lint lock build validate bench cold fuzz test-litellm sam-local clean

help: ## This list.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)$$/\1\t\2/p' Makefile | expand -t 14

# ---- Run it --------------------------------------------------------------------------------------------------

demo: $(ENV) $(if $(BUILT),build) ## One validated document, streamed, with its cost; BUILT=1 runs the built artifacts (CPython 3.13).
	@$(PY) -m infra.local demo $(if $(BUILT),--built)

dev: $(ENV) ## The same stack, kept up, its URLs printed; ends with Ctrl-C.
	@$(PY) -m infra.local dev

# ---- Check it ------------------------------------------------------------------------------------------------

test: $(ENV) ## Unit, functional and end-to-end tests; no network but loopback.
	$(PY) -m pytest -m "not build and not docker" $(ARGS)

lint: $(ENV) ## ruff and mypy.
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

validate: $(SAM_ENV) ## The templates, by SAM's and CloudFormation's rules, in every combination of options.
	$(SAM) validate --lint
	$(SAM) validate --lint --template infra/ledger.yaml
	$(SAM) validate --lint --template infra/observability.yaml
	.venv-sam/bin/python infra/build/translate.py template.yaml

# The stamp is removed first: artifacts of a build that broke off are never taken for whole ones.
BUILT_STAMP := .aws-sam/.built-$(ARCHITECTURE)
SOURCES := $(shell find functions shared infra/build infra/*.yaml template.yaml samconfig.toml -type f -not -path '*/__pycache__/*')

build: $(BUILT_STAMP) ## Artifacts in .aws-sam/build, for this machine's architecture or ARCHITECTURE=arm64|x86_64.

$(BUILT_STAMP): $(SAM_ENV) $(SOURCES)
	@$(FIND_PYTHON) 3.13 >/dev/null
	@rm -f .aws-sam/.built-*
	BUILD_PYTHON="$$($(FIND_PYTHON) 3.13)" ARCHITECTURE=$(ARCHITECTURE) \
		$(SAM) build --parameter-overrides Architecture=$(ARCHITECTURE)
	BUILD_PYTHON="$$($(FIND_PYTHON) 3.13)" ARCHITECTURE=$(ARCHITECTURE) \
		sh infra/build/assemble.sh runtime .aws-sam/runtime
	@touch $@

test-built: build $(ENV) ## The suite that reads the built artifacts.
	$(PY) -m pytest -m build $(ARGS)

sam-local: build $(ENV) ## sam local invoke, start-api and start-lambda in a real container; skips without a Docker engine.
	$(PY) -m pytest -m docker $(ARGS)

fuzz: $(ENV) ## Differential fuzzing of streamed validation: SECONDS=600.
	$(PY) -m tests.fuzz $(if $(SECONDS),--seconds $(SECONDS)) $(ARGS)

test-litellm: $(ENV) .venv-litellm/.installed ## generate against LiteLLM's proxy, a server nobody here wrote.
	$(PY) -m pytest tests/peers $(ARGS)

# ---- Measure it ----------------------------------------------------------------------------------------------

bench: $(ENV) .venv-peers/.installed ## Latency, CPU and memory against the alternatives, ratios in one run.
	$(PY) -m tests.bench $(ARGS)

cold: $(ENV) build ## Start-up of the built artifacts against the alternatives.
	$(PY) -m tests.bench cold $(ARGS)

# ---- Environments --------------------------------------------------------------------------------------------

# Made anew when the lock changes, so that nothing stays behind that the lock no longer names.
define make_environment
	@echo "$(@D): from $(notdir $<) with $$($(FIND_PYTHON) $(1))"
	@rm -rf $(@D)
	@"$$($(FIND_PYTHON) $(1))" -m venv $(@D)
	@$(@D)/bin/python -m pip install -qq --disable-pip-version-check --require-hashes --no-deps -r $<
	@touch $@
endef

.venv/.installed: requirements.lock
	$(call make_environment)

.venv-sam/.installed: infra/sam.lock
	$(call make_environment)

.venv-litellm/.installed: tests/peers/litellm.lock
	$(call make_environment)

.venv-peers/.installed: tests/bench/peers.lock
	$(call make_environment)

# uv writes the locks: hashed, for CPython 3.12 to 3.14, without addresses.
.venv-uv/.installed: infra/build/uv.lock
	$(call make_environment)

COMPILE = .venv-uv/bin/uv pip compile --quiet --universal --python-version 3.12 --generate-hashes --no-annotate \
	--custom-compile-command "make lock" $(UPGRADE)

lock: .venv-uv/.installed ## All locks from their .in files and pyproject.toml; UPGRADE=--upgrade takes new versions.
	$(COMPILE) pyproject.toml --group dev -o requirements.lock
	for name in functions/generate/requirements functions/ledger/requirements functions/finance/requirements \
		infra/build/runtime; do \
		$(COMPILE) $$name.in -c requirements.lock -o $$name.txt || exit 1; \
	done
	for name in infra/build/uv infra/sam tests/peers/litellm tests/bench/peers; do \
		$(COMPILE) $$name.in -o $$name.lock || exit 1; \
	done

clean: ## Everything that make made, environments too.
	rm -rf .venv .venv-sam .venv-litellm .venv-peers .venv-uv .aws-sam .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
