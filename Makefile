# make demo        score a real VCF with the shipped model, evaluate the scores, draw tracks
# make test        run all tests
# make lint        check style and types
# make docs        the API reference, from the docstrings, in build/api
# make wheel-test  install the wheel alone in a folder of its own and run every verb there, offline
#
# All but the last install what they need into .venv at the versions of constraints.txt, once.

PYTHON ?= python3
VENV ?= .venv
# Small tensors: one thread is the fastest on most machines.
export OMP_NUM_THREADS ?= 1

INSTALL = PIP_CONSTRAINT="$(CURDIR)/constraints.txt" \
	PIP_BUILD_CONSTRAINT="$(CURDIR)/constraints.txt" \
	PIP_DISABLE_PIP_VERSION_CHECK=1 \
	$(VENV)/bin/python -m pip install --quiet --no-input -c constraints.txt

# A process for each core, each with whole files of tests, since these share what is costly to make.
# Four at most: one may hold 2 GB.
# One that dies ends the run with its test's name: replaced, it would be waited for without end.
PARALLEL ?= -n auto --maxprocesses 4 --dist loadfile --max-worker-restart=0

.PHONY: demo test lint docs wheel-test clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	PATH="$(abspath $(VENV))/bin:$$PATH" bash examples/demo.sh

test: $(VENV)/.installed-test
	PATH="$(abspath $(VENV))/bin:$$PATH" $(VENV)/bin/python -m pytest $(PARALLEL) $(PYTEST_ARGUMENTS)

lint: $(VENV)/.installed-test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

docs: $(VENV)/.installed-test
	$(VENV)/bin/python -W error -m pdoc --docformat numpy phylotools -o build/api

wheel-test:
	bash tests/plain_install.sh "$(PYTHON)"

clean:
	rm -rf "$(VENV)" build demo-output .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: $(PYTHON) must be Python 3.11 or newer; choose another: make PYTHON=python3.12" >&2; \
	  exit 1; }
	@$(PYTHON) -m venv "$(VENV)" || { \
	  echo "error: $(PYTHON) cannot make a virtual environment; on Debian or Ubuntu:" \
	    "apt-get install python3-venv" >&2; \
	  rm -rf "$(VENV)"; exit 1; }
	@touch $@

$(VENV)/.installed: $(VENV)/.python pyproject.toml constraints.txt
	@echo "installing phylotools into $(VENV) (a few minutes)" >&2
	@$(INSTALL) -e .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@echo "installing the test tools into $(VENV)" >&2
	@$(INSTALL) -e '.[test]'
	@touch $@
