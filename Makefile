# make demo        score a real VCF with the shipped model, evaluate the scores, draw tracks
# make test        run all tests
# make nextflow    run the Nextflow workflow on a small VCF, where Nextflow is installed
# make lint        check style and types
# make docs        the API reference, from the docstrings, in build/api
# make site        the documentation with it, in build/site; needs Chromium, for the screenshots
# make screenshots the same pictures for the pages as they are read in the repository: docs/images
# make dist        source archive and wheel as they are published, checked, in dist
# make wheel-test  install the wheel alone in a folder of its own and run every verb there, offline
#
# All but the last install what they need into .venv at the versions of constraints.txt, once.

PYTHON ?= python3
VENV ?= .venv
# Workflow managers, which the tests run: programs, in an environment of their own.
TOOLS = $(VENV)/workflow-tools
# Small tensors: one thread is the fastest on most machines.
export OMP_NUM_THREADS ?= 1

INSTALL = PIP_CONSTRAINT="$(CURDIR)/constraints.txt" \
	PIP_BUILD_CONSTRAINT="$(CURDIR)/constraints.txt" \
	PIP_DISABLE_PIP_VERSION_CHECK=1 \
	$(VENV)/bin/python -m pip install --quiet --no-input -c constraints.txt

# A process for each core, each with whole files of tests, since these share what is costly to make, in
# the order of tests/conftest.py. Four at most: one may hold 2 GB.
# One that dies ends the run with its test's name: replaced, it would be waited for without end.
PARALLEL ?= -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder --max-worker-restart=0

.PHONY: demo test nextflow lint docs site screenshots dist wheel-test clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	PATH="$(abspath $(VENV))/bin:$$PATH" bash examples/demo.sh

test: $(VENV)/.installed-test $(TOOLS)/.installed
	PATH="$(abspath $(VENV))/bin:$(abspath $(TOOLS))/bin:$$PATH" $(VENV)/bin/python -m pytest $(PARALLEL) $(PYTEST_ARGUMENTS)

# Where Nextflow is: no registry of packages that CI reaches has it.
nextflow: $(VENV)/.installed
	@command -v nextflow >/dev/null || { \
	  echo "error: nextflow is not installed; see https://www.nextflow.io/docs/latest/install.html" >&2; \
	  exit 1; }
	PATH="$(abspath $(VENV))/bin:$$PATH" nextflow run workflows/nextflow/main.nf -work-dir build/nextflow.work \
	  --variants workflows/galaxy/test-data/mtdna.vcf --outdir build/nextflow

lint: $(VENV)/.installed-test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

docs: $(VENV)/.installed-docs
	$(VENV)/bin/python -W error -m pdoc --docformat numpy phylotools -o build/api

site: $(VENV)/.installed-docs
	$(VENV)/bin/python docs/site/build.py build

screenshots: site
	cp build/screenshots/*.png docs/images

dist:
	rm -rf dist
	bash packaging/build_dist.sh dist "$(PYTHON)"

wheel-test:
	bash tests/plain_install.sh "$(PYTHON)"

clean:
	rm -rf "$(VENV)" build dist demo-output .mypy_cache .ruff_cache .pytest_cache .hypothesis

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

$(VENV)/.installed-docs: $(VENV)/.installed
	@echo "installing what the documentation is made with into $(VENV)" >&2
	@$(INSTALL) -e '.[docs]'
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@echo "installing the test tools into $(VENV)" >&2
	@$(INSTALL) -e '.[test]'
	@touch $@

$(TOOLS)/.installed: $(VENV)/.installed-test workflows/tools.txt
	@echo "installing workflow managers into $(TOOLS)" >&2
	@rm -rf $(TOOLS)
	@$(VENV)/bin/python -m venv $(TOOLS)
	@$(VENV)/bin/python -c 'import sysconfig; \
	  print("import site; site.addsitedir(" + repr(sysconfig.get_path("purelib")) + ")")' \
	  >"$$($(TOOLS)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/tests.pth"
	@PIP_DISABLE_PIP_VERSION_CHECK=1 $(TOOLS)/bin/python -m pip install --quiet --no-input --no-deps \
	  -r workflows/tools.txt
	@touch $@
