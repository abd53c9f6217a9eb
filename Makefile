# Three commands do everything on a machine with Python 3.11+, pip and make:
#   make demo     installs and runs the main job
#   make network  installs and runs it on two nodes, with a controller and a moderator
#   make test     installs and runs lint, strict types and the whole test suite
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST_WORKERS ?= 3

.DEFAULT_GOAL := help
.PHONY: help install demo network test lint types unit long bench proto config-page errors-page docs dist lock format clean

help:
	@sed -n 's/^# //p' Makefile

install: $(STAMP)

$(STAMP): pyproject.toml requirements.lock
	@python=$(BIN)/python; test -x $$python || python=$(PYTHON); \
	  $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "callboard needs Python 3.11 or newer, which $$python is not: say which, as in" \
	    "rm -rf $(VENV) && make install PYTHON=python3.12" >&2; exit 1; }
	@echo "1 of 3: a Python environment in $(VENV)"
	@# One whose making was broken off has no pip yet; made again, it is whole.
	@$(BIN)/python -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@echo "2 of 3: callboard and what it and its tests need (about half a minute)"
	@$(BIN)/pip install --disable-pip-version-check -c requirements.lock -e . --group dev
	@echo "3 of 3: the originals that tests compare with, where they fit"
	@for peer in $$($(BIN)/python .ci/group.py peers); do \
	  $(BIN)/pip install --quiet --disable-pip-version-check --only-binary :all: -c requirements.lock "$$peer" \
	    || echo "note: $$peer does not install here; the tests that need it will skip"; done
	@touch $@

demo: install
	$(BIN)/callboard demo

network: install
	$(BIN)/python -m tests.network

test: lint
	@# Types are looked at while tests wait for one another.
	@$(MAKE) --no-print-directory -j2 types unit

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

errors-page: install
	$(BIN)/python .ci/errors_page.py

docs: install
	$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock --group docs
	$(BIN)/sphinx-build --fail-on-warning --nitpicky --quiet -d build/doctrees docs build/docs
	@echo "build/docs/index.html"

dist: install
	$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock --group release
	$(BIN)/python .ci/dist.py

proto: install
	$(BIN)/python .ci/proto.py

lock: install
	@# uvloop (the extra `fast`) is not in .venv: its pin stays.
	{ $(BIN)/pip freeze --exclude-editable | grep -v '^pip=='; grep '^uvloop==' requirements.lock; } \
	  | LC_ALL=C sort -fu > requirements.new && mv requirements.new requirements.lock

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
