# `make run` and `make test` are all a newcomer needs; both set .venv up first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST ?= $(BIN)/pytest

.PHONY: help setup run test test-all torture lint bench examples picture clean handheld font record-ui screens

help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(VENV)/.ready ## make .venv with everything (needs Python 3.11-3.14 with venv)

$(VENV)/.ready: pyproject.toml constraints.txt tools/setup.py
	$(PYTHON) tools/setup.py $(VENV)

run: setup ## set up, then the whole system on this machine: ronda demo
	$(BIN)/ronda demo

test: setup ## set up, then lint, types and every test that needs no hardware or server
	$(MAKE) lint
	$(PYTEST) -m "not server and not torture"

test-all: setup ## what `make test` leaves out: Debian's mosquitto, a sample of the torture suites
	$(PYTEST) -m "server or torture"

lint: setup ## ruff and pyright
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/pyright -p firmware --typeshedpath $$($(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")

torture: setup ## the fault laboratory: build/torture/report.html (SUITE=D1 for one, ID=… repeats)
	$(BIN)/python tests/torture/laboratory.py $(if $(SUITE),--suite $(SUITE)) $(if $(ID),--id $(ID)) $(if $(SIZE),--size $(SIZE))

bench: setup ## benchmarks: build/bench.json and docs/bench.md (BENCH=name for one of them)
	$(BIN)/python tests/bench/run.py $(BENCH)

examples: setup ## the schemas' examples again: real messages of half an hour
	$(BIN)/python tests/make_examples.py

handheld: setup ## a simulated handheld in your hands: screen and keys in this terminal
	$(BIN)/ronda handheld sim --interactive

font: setup ## pack firmware/font.txt into the firmware
	$(BIN)/python -m ronda_tools.font

record-ui: setup ## store the screens as they are now, after a change that is meant
	RONDA_RECORD_UI=1 $(PYTEST) -q tests/ui

screens: setup ## every screen as a PNG in build/screens, those of the gestor's guide as SVG in docs
	RONDA_SCREENS=1 $(PYTEST) -q tests/ui

picture: setup ## the README's picture of the demo: docs/img/demo.svg
	mkdir -p docs/img
	$(BIN)/ronda demo --picture docs/img/demo.svg

clean: ## remove .venv and what was built
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache
