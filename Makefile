# Set-up is part of every target: a machine with Python 3.11+, make and git needs nothing else.
PYTHON ?= python3
DEVICE ?= cpu
TIER ?= nano
BUDGET ?= 25m
# files of other tiers lie in a folder of their own
INSIDE := $(if $(filter-out nano,$(TIER)),/$(TIER))
VENV := .venv
BIN := $(VENV)/bin
SHARPOSE := $(BIN)/sharpose

.PHONY: help tables csv fill test test-slow test-lowest fuzz soak lint docs schema format train-missing figures bench report gpu lab clean-local

help:
	@echo "make table6        Tables 6a and 6b: measure what is missing, and print; so table1 … table8"
	@echo "make figure6       the quality threshold; also figure6-test, semantics, frontier, schedules, batch, exits, counters, guided, guided-gate"
	@echo "make tables        print every table from the store; nothing is measured"
	@echo "make csv           the raw numbers of every table to results/csv, from the store; nothing else writes there"
	@echo "make fill          measure what the tables lack, within BUDGET (25m)"
	@echo "make test          the test suite"
	@echo "make fuzz          100,000 broken files on every reader (CASES, SEED)"
	@echo "make soak          half an hour of training, evaluating, killing and going on (MINUTES, SEED)"
	@echo "make lint          ruff and mypy"
	@echo "make docs          the pages of docs/ as a site in site/, with a search that works offline"
	@echo "make schema        experiments/specs/spec.schema.json again, after a change of what a spec may hold"
	@echo "make bench         time ours, back-ends and peers in one session; once measured, print"
	@echo "make figures       draw results/figures"
	@echo "make report        results/report.html (report-photos.html …): everything in one file that works offline"
	@echo "make gpu            what a GPU is worth, within BUDGET: small models on photographs, speeds, races (docs/gpu.md)"
	@echo "make lab           JupyterLab on notebooks/"
	@echo "make train-missing train what the tables lack with the tier's shared budget, within BUDGET"
	@echo "Options: DEVICE=cuda, TIER=photos or small (with SHARPOSE_PHOTOS), TIER=paper (with SHARPOSE_COCO), PYTHON=python3.12"

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# Installing takes minutes, so a stamp says that it has been done for this pyproject.toml.
$(VENV)/harness.stamp: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[harness]'
	@touch $@

$(VENV)/dev.stamp: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[harness,dev]'
	@touch $@ $(VENV)/harness.stamp

$(VENV)/lab.stamp: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[harness,lab]'
	@touch $@ $(VENV)/harness.stamp

TABLES := table1 table2 table3 table4 table5 table6 table6a table6b table7 table8
.PHONY: $(TABLES)
$(TABLES): table%: $(VENV)/harness.stamp
	@$(SHARPOSE) run $* --table --device $(DEVICE) --tier $(TIER)

OWN := figure6 figure6-test semantics frontier schedules batch exits counters beyond related guided guided-gate
.PHONY: $(OWN)
$(OWN): $(VENV)/harness.stamp
	@$(SHARPOSE) run $@ --table --device $(DEVICE) --tier $(TIER)

tables: $(VENV)/harness.stamp
	@$(SHARPOSE) table all --device $(DEVICE) --tier $(TIER)

csv: $(VENV)/harness.stamp
	@$(SHARPOSE) export --format csv --out results/csv$(INSIDE) --device $(DEVICE) --tier $(TIER)

fill: $(VENV)/harness.stamp
	@$(SHARPOSE) fill --budget $(BUDGET) --device $(DEVICE) --tier $(TIER)

# a process per core, one thread each
PARALLEL := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
SPREAD := -n logical --maxprocesses 8 --dist worksteal

test: $(VENV)/dev.stamp
	@$(PARALLEL) $(BIN)/python -m pytest $(SPREAD)

test-slow: $(VENV)/dev.stamp
	@$(BIN)/python -m pytest -m "slow or gpu" --timeout 3600

# the suite with the oldest versions that pyproject.toml allows, in an environment of its own
LOWEST := .venv-lowest
test-lowest:
	$(PYTHON) -m venv $(LOWEST)
	$(PYTHON) tests/lowest_versions.py > $(LOWEST)/constraints.txt
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check -c $(LOWEST)/constraints.txt -e '.[harness,dev]'
	$(PARALLEL) $(LOWEST)/bin/python -m pytest $(SPREAD)

# broken files on every reader; the same seed gives the same cases
CASES ?= 100000
SEED ?= 0
fuzz: $(VENV)/dev.stamp
	@$(BIN)/python -W ignore -m tests.fuzz.fuzz --cases $(CASES) --seed $(SEED)

MINUTES ?= 30
soak: $(VENV)/dev.stamp
	@PYTHONPATH=. $(BIN)/python tests/survival/soak.py --minutes $(MINUTES) --seed $(SEED)

lint: $(VENV)/dev.stamp
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

# an environment of its own, as the site's builder needs nothing of the library
DOCS := .venv-docs
$(DOCS)/docs.stamp: pyproject.toml
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check 'mkdocs-material>=9.5,<10' || \
	  { echo "make docs needs mkdocs-material, which could not be installed here: pip install 'mkdocs-material>=9.5,<10'" >&2; exit 1; }
	@touch $@

# not --quiet, which would also keep --strict from seeing warnings; the variable silences an advertisement
docs: $(DOCS)/docs.stamp
	@NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/python -m mkdocs build --strict && echo "site/index.html"

schema: $(VENV)/harness.stamp
	@$(BIN)/python -m experiments.spec.spec

format: $(VENV)/dev.stamp
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

$(VENV)/bench.stamp: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[harness,onnx,openvino,peers,energy]'
	@touch $@ $(VENV)/harness.stamp

bench: $(VENV)/bench.stamp
	@$(SHARPOSE) bench --record --device $(DEVICE)

figures: $(VENV)/harness.stamp
	@$(SHARPOSE) figures --tier $(TIER)

report: $(VENV)/harness.stamp
	@$(SHARPOSE) report --tier $(TIER)

train-missing: $(VENV)/harness.stamp
	@$(SHARPOSE) train-missing --tier $(TIER) --budget $(BUDGET)

# the label-free start and photographs: docs/gpu.md
gpu: $(VENV)/harness.stamp
	@$(SHARPOSE) gpu run --budget $(BUDGET)

lab: $(VENV)/lab.stamp
	TIER=$(TIER) $(BIN)/jupyter lab notebooks

clean-local:
	rm -rf results/local
