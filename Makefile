# Every target makes what it needs first. `make` alone says what there is.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.PHONY: help setup tools demo test lint unit e2e test-cluster cluster-up cluster-down accuracy bench docs pins vendor clean

TOPOLOGY ?= agg
WORKERS ?= 2
ENGINE ?= vllm
DISCOVERY ?= file
KEEP ?=
QUICK ?=
# CLUSTER=no leaves tests/cluster out of `make test`.
CLUSTER ?= yes
# More arguments for pytest, such as ARGS='-k frontend -x'.
ARGS ?=

# matplotlib keeps a list of fonts; nothing is left outside of this folder.
export MPLCONFIGDIR ?= $(CURDIR)/.tools/matplotlib

BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest -v --durations=10

help:  ## what there is
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## the locked environment in .venv, with uv from PATH or in .tools
	@tools/bootstrap

tools: setup  ## what the demo and the end-to-end tests need beside it: ai-dynamo, NATS, etcd, Prometheus, in .tools
	@$(BIN)/python -m monitor.demo.fetch

demo: setup  ## break a real deployment and see (KEEP=1, TOPOLOGY=agg|disagg, WORKERS=1|2, ENGINE=vllm|sglang|trtllm, DISCOVERY=file|etcd)
	@$(BIN)/aftershock demo --topology $(TOPOLOGY) --workers $(WORKERS) --engine $(ENGINE) --discovery $(DISCOVERY) $(if $(KEEP),--keep)

# KUBECONFIG is put aside: nobody's own cluster is broken by a plain `make test`.
test: lint tools  ## every check; the shorter ones on a real Kubernetes where this machine can carry one (CLUSTER=no: without)
	$(PYTEST) -m 'not cluster' $(ARGS)
	@if [ "$(CLUSTER)" = no ]; then echo "tests/cluster is LEFT OUT: CLUSTER=no"; \
	else why=$$($(BIN)/python -m tests.cluster.rig why-not) || case $$? in 3) ;; *) exit 1;; esac; \
	if [ -n "$$why" ]; then echo "tests/cluster is LEFT OUT: $$why"; \
	else env -u KUBECONFIG $(BIN)/python -m tests.cluster --short $(ARGS); fi; fi

lint: setup  ## style, types, layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: setup  ## the quick tests: everything but real Dynamo
	$(PYTEST) -m 'not e2e and not cluster' $(ARGS)

e2e: tools  ## real Dynamo, aiperf and Prometheus
	$(PYTEST) -m e2e $(ARGS)

test-cluster: setup  ## all on a real Kubernetes, 20 minutes: started here (root, Debian; 10 minutes to build once), or the one that KUBECONFIG names
	$(BIN)/python -m tests.cluster $(ARGS)

cluster-up: setup  ## start that Kubernetes and leave it running
	$(BIN)/python -m tests.cluster.rig up

cluster-down: setup  ## end it
	$(BIN)/python -m tests.cluster.rig down

accuracy: tools  ## is the client witness right? 20 minutes, every outage in .data/accuracy.json (QUICK=1: 3 minutes)
	@mkdir -p .data
	$(BIN)/python -m tests.accuracy $(if $(QUICK),--quick) --json .data/accuracy.json

bench: tools  ## figures; asserts nothing
	@for file in tests/bench/bench_*.py; do echo "== $$file"; $(BIN)/python -m "tests.bench.$$(basename "$$file" .py)"; done

docs: setup  ## renew what is made from the code: tables of the documents, JSON of the dashboards, schema and rights of the chart
	$(BIN)/python -m monitor.docs README.md helm/aftershock/README.md docs/*.md
	$(BIN)/python -m dashboards.build
	$(BIN)/python -m monitor.chart.build

pins: setup  ## renew the pinned list of ai-dynamo's environment
	PATH="$(CURDIR)/.tools/uv/bin:$$PATH" uv pip compile --quiet --upgrade --universal --python-version 3.11 \
		--no-header --no-annotate monitor/demo/dynamo.in --output-file monitor/demo/dynamo.txt

vendor:  ## bring the page's vendored files from npm and check them against tools/vendor.sha256
	@tools/vendor

clean:  ## remove what the targets above made, environments and data included
	rm -rf .venv .tools .data .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
