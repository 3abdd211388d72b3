.DEFAULT_GOAL := help
.PHONY: help run fleet test lint unit soak bench bench-fleet parts build clean

PYTEST := .venv/bin/pytest

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## a gateway with backends and load beside it, to look at; ARGS="--seconds 10" passes options on
	@tools/setup.sh demo
	@.venv/bin/spangate demo $(ARGS)

fleet: ## two regions of gateways on three etcd, to look at; ARGS="--seconds 30" passes options on
	@tools/setup.sh test
	@.venv/bin/python -m tests.fleet $(ARGS)

test: ## everything: lint, unit tests, tests with real processes and parts
	@tools/setup.sh test
	@tools/test.sh

lint: ## what can be told without running it, and the rules of the house
	@tools/setup.sh test
	@tools/lint.sh
	@$(PYTEST) tests/house

unit: ## the tests that need no process beside them
	@tools/setup.sh test
	@$(PYTEST) -n logical --maxprocesses 8 -m "not (interop or process or soak)"

soak: ## the tests that take minutes
	@tools/setup.sh test
	@$(PYTEST) -m soak --timeout 3600 -o faulthandler_timeout=0

bench: ## side by side with peers (the control plane: make bench-fleet); BENCH="--shapes 100 --runs 1" passes arguments on
	@tools/setup.sh test
	@tools/bench.sh $(BENCH)

bench-fleet: ## figures of the control plane, 45 minutes; FIGURE="push --stacks 100" is one of them, FIGURE=help lists them
	@tools/setup.sh test
	@.venv/bin/python -m benchmarks.fleet $(or $(FIGURE),all)

parts: ## build the collector, telemetrygen and etcd that the tests use (needs Go)
	@tools/setup.sh test
	@.venv/bin/python -m tests.parts

build: ## the native modules in place, and a wheel in dist/
	@tools/setup.sh test
	@.venv/bin/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean: ## remove what was built; .venv and the cache of parts stay
	@rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks .import_linter_cache
	@rm -f native/*.c native/*.html sidecar/_native/*.so .venv/.set-up-for-*
	@find sidecar tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
