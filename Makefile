# `make demo` and `make test` are all a newcomer needs; each does its own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

.PHONY: help setup demo test e2e lint format proto crd docs dashboards bench lock clean

help:
	@grep -E '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

setup: $(STAMP) ## create .venv with the pinned dependencies and this project

$(STAMP): requirements-dev.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

demo: setup ## everything on this machine with the sandbox; ends with a table and demo-report.json
	$(BIN)/smsbridge demo

test: setup ## all tests
	$(BIN)/python -m pytest

e2e: setup ## the product in the cluster of KUBECONFIG: installed, upgraded, disturbed, and counted
	SMSBRIDGE_E2E=1 $(BIN)/python -m pytest tests/e2e/test_cluster.py

lint: setup ## style, types, import contracts, generated stubs fresh
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/repo

format: setup ## sort imports and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

proto: setup ## write the stubs from proto/
	$(BIN)/python proto/generate.py

crd: setup ## write the resource's definition into the chart
	$(BIN)/python -m smsbridge_operator.crd > charts/smsbridge/files/crd-smscproviders.yaml

docs: setup ## write the generated pages of docs/ and the chart's README
	$(BIN)/python -m smsbridge.targets.reference > docs/configuration.md
	$(BIN)/python -m smsbridge.provisioning.reference > docs/resource.md
	$(BIN)/python -m smsbridge_operator.reference > docs/kubernetes-operator.md
	$(BIN)/python charts/generate_readme.py > charts/smsbridge/README.md

dashboards: setup ## write Grafana's dashboards into the chart
	$(BIN)/python -m charts.generate_dashboards

bench: setup ## measure; prints a table and writes bench-report.json
	$(BIN)/python -m bench

COMPILE := uv pip compile pyproject.toml --generate-hashes --no-header --no-annotate --no-emit-index-url --universal --python-version 3.11

lock: ## pin the dependencies again (needs uv): what runs, and what develops
	$(COMPILE) --extra build --output-file requirements.lock
	$(COMPILE) --extra build --extra dev --constraint requirements.lock --output-file requirements-dev.lock

clean: ## remove what was made here
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
