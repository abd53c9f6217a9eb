# Two commands do everything on a machine with Python 3.11+, pip and make:
#   make demo   installs and runs the main job
#   make test   installs and runs lint, strict types and the whole test suite
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST_WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help install demo test lint types unit long bench proto config-page lock format clean

help:
	@sed -n 's/^# //p' Makefile

install: $(STAMP)

$(STAMP): pyproject.toml requirements.lock
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock -e . --group dev
	@for peer in $$($(BIN)/python .ci/group.py peers); do \
	  $(BIN)/pip install --quiet --disable-pip-version-check --only-binary :all: -c requirements.lock "$$peer" \
	    || echo "note: $$peer does not install here; the tests that need it will skip"; done
	touch $@

demo: install
	$(BIN)/callboard demo

test: lint types unit

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

unit: install
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist loadgroup

long: install
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist loadgroup --long

bench: install
	$(BIN)/callboard bench compare

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

config-page: install
	$(BIN)/python .ci/config_page.py

proto: install
	$(BIN)/python .ci/proto.py

lock: install
	@# uvloop (the extra `fast`) is not in .venv: its pin stays.
	{ $(BIN)/pip freeze --exclude-editable | grep -v '^pip=='; grep '^uvloop==' requirements.lock; } \
	  | LC_ALL=C sort -fu > requirements.new && mv requirements.new requirements.lock

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
