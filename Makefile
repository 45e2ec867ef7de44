# `make demo` and `make test` need nothing but Python 3.11+, make and git: .venv is made on the way.
# Another Python: make PYTHON=python3.13 test (remove .venv first if it was made by an older one).

PYTHON ?= python3
BIN := .venv/bin
# Those that need no arguments and no half hour.
BENCHMARKS := $(filter-out benchmarks/_% benchmarks/make_% benchmarks/soak.py benchmarks/soak_receive.py benchmarks/faults.py benchmarks/corpus.py benchmarks/calibration.py benchmarks/audit_labels.py benchmarks/refine.py \
  benchmarks/quality.py benchmarks/stand_in.py benchmarks/exact.py benchmarks/index_growth.py benchmarks/federation.py benchmarks/same_answers.py benchmarks/mutate.py,$(wildcard benchmarks/*.py))

.PHONY: help demo test test-image lint docs bench bench-quality soak mutate audit sbom clean

help:
	@echo 'make demo   a small archive from nothing: ingest, train, encode, search, evaluate (about 3 minutes)'
	@echo 'make test   ruff, mypy and pytest, as CI runs them'
	@echo 'make test-image  builds and runs docker/ with podman and buildah, as root; takes many minutes and the registries'
	@echo 'make lint   ruff and mypy only'
	@echo 'make docs   the documentation as a site, in build/site; a broken link fails it'
	@echo 'make bench  every benchmark; the results go to benchmarks/results/'
	@echo 'make bench-quality  paper, strong and peers on four tasks; trains for a day, goes on where it was broken off'
	@echo 'make soak   kills and other faults of services, server, disks and network at random moments; takes hours'
	@echo 'make mutate  wrong lines, one at a time, in the modules that hurt most: the tests must see each; some minutes'
	@echo 'make audit  known vulnerabilities of the pins in constraints.txt, by pip-audit, which asks PyPI'
	@echo 'make sbom   a software bill of materials of the wheel, build/radretrieval.cdx.json'
	@echo 'make clean  removes .venv, caches and build results'

demo: .venv/.installed
	$(BIN)/radretrieval demo

# One process more than cores, four at most: a quarter of the time tests wait for servers, kills and time limits. mypy
# runs beside them; it alone would keep the other cores waiting for a minute. Where PYTHONDONTWRITEBYTECODE is set, each
# command that a test starts would compile the package anew. The slowest are printed, for whoever makes it faster.
test: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy & types=$$!; \
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $$($(BIN)/python -c 'import os; print(min(4, os.cpu_count() + 1))') --dist loadfile --no-loadscope-reorder --durations=25; \
	tests=$$?; wait $$types && exit $$tests

test-image: .venv/.installed
	RADRETRIEVAL_TEST_IMAGE=1 $(BIN)/python -m pytest tests/system/test_docker_build.py

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The notice is about a later MkDocs than the one that constraints.txt names.
docs: .venv/.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo 'build/site/index.html'

# A benchmark that fails, or skips (77), leaves the result of its last success as it was.
bench: $(BENCHMARKS:benchmarks/%.py=bench-%)

bench-%: .venv/.installed
	@mkdir -p benchmarks/results
	@echo 'benchmarks/$*.py'
	@new=benchmarks/results/.$*.txt; $(BIN)/python benchmarks/$*.py > $$new; code=$$?; \
	if [ $$code = 0 ]; then mv $$new benchmarks/results/$*.txt && cat benchmarks/results/$*.txt; \
	else rm -f $$new; [ $$code = 77 ]; fi

# The peers are searched by faiss, which nothing else needs. The tables go below the notes of quality.md.
bench-quality: .venv/.installed
	@$(BIN)/python -m pip install -qq --disable-pip-version-check faiss-cpu
	@$(BIN)/python benchmarks/quality.py --changes --write

soak: bench-soak bench-soak_receive bench-faults

mutate: bench-mutate

# In an environment of its own: what audits is not audited. Ends with 77 where PyPI cannot be asked.
audit:
	@test -x build/audit/bin/pip-audit || { $(PYTHON) -m venv --clear build/audit && build/audit/bin/python -m pip install -qq --disable-pip-version-check pip-audit; }
	@build/audit/bin/python packaging/audit.py

sbom: .venv/.installed
	@mkdir -p build && $(BIN)/python packaging/sbom.py > build/radretrieval.cdx.json
	@echo 'build/radretrieval.cdx.json'

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist

# pip is told to name errors only (-qq): a package index that is only partly there costs a warning per package.
.venv/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo 'installing into .venv (some minutes the first time)'
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c '' 2>/dev/null || { echo '$(PYTHON) does not run: install Python 3.11 or newer, or name one: make PYTHON=python3.13 test' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("radretrieval needs Python 3.11 or newer, $(PYTHON) is %d.%d: name another, as in make PYTHON=python3.13 test" % v[:2])'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo '$(PYTHON) cannot make virtual environments: on Debian and Ubuntu, apt install python3-venv' >&2; exit 1; }
	@$(PYTHON) -m venv --clear .venv
