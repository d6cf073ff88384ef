# make demo    draw the shapes, train a small InstaGAN, translate the validation pictures, measure the result
# make test    all tests but the slow ones        make test PYTEST_FLAGS="-k pool"   some of them
# make coverage    the same tests, and which lines none of them ran
# make reliability   kills, planted faults, damaged files: docs/reliability.md        make reliability RELIABILITY_FLAGS="kills"
# make fuzz    an hour of hostile input: docs/reliability.md            make fuzz FUZZ_FLAGS="--seconds 60 --seed 3"
# make lint    ruff, and mypy on instagan/
# make venv    everything installed, Visdom included
# make clean   removes what make made, but no checkpoint
#
# Variables:
#   PYTHON=python3.12       the Python that makes the virtual environment
#   PIP_FLAGS="..."         for pip install, e.g. --extra-index-url to get another build of torch (CPU only: far smaller)
#   OWN_PYTHON=python3      use this Python and its torch as they are; nothing is installed

PYTHON ?= python3
PIP_FLAGS ?=
PYTEST_FLAGS ?=
RELIABILITY_FLAGS ?=
FUZZ_FLAGS ?= --seconds 3600
VENV := .venv

ifdef OWN_PYTHON
PY := $(OWN_PYTHON)
else
PY := $(VENV)/bin/python
RUN := $(VENV)/run.stamp
DEV := $(VENV)/dev.stamp
endif

PIP := PIP_ROOT_USER_ACTION=ignore $(PY) -m pip install -qq --disable-pip-version-check $(PIP_FLAGS)

.PHONY: demo test coverage reliability fuzz lint venv clean

demo: $(RUN) datasets/shapes/shapes.json
	$(PY) train.py --config configs/shapes.yaml --overwrite
	$(PY) test.py --dataroot datasets/shapes --name shapes --phase val --num_threads 0
	@echo
	@$(PY) scripts/measure_shapes.py --results results/shapes/val_latest --dataroot datasets/shapes
	@echo
	@echo "Look at   results/shapes/val_latest/index.html    translated validation pictures"
	@echo "          checkpoints/shapes/web/index.html       how training went"

test: $(DEV)
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist worksteal $(PYTEST_FLAGS)

coverage: $(DEV)
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist worksteal --cov --cov-report=term:skip-covered $(PYTEST_FLAGS)

reliability: $(DEV)
	OMP_NUM_THREADS=1 $(PY) tests/soak/reliability.py $(RELIABILITY_FLAGS)

fuzz: $(DEV)
	$(PY) tests/soak/fuzz.py --seed $$(date +%s) $(FUZZ_FLAGS)

lint: $(DEV)
	$(PY) -m ruff check .
	$(PY) -m mypy

venv: $(DEV)

datasets/shapes/shapes.json: scripts/make_shapes.py data/shapes/drawing.py | $(RUN)
	$(PY) scripts/make_shapes.py --save_root datasets/shapes --overwrite

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: requirements.txt | $(VENV)/bin/python
	@echo "Installing requirements.txt into $(VENV): once, for some minutes"
	@$(PIP) -r requirements.txt
	@touch $@

# Visdom is optional: a failure to build it is said and stops nothing.
$(VENV)/dev.stamp: requirements.txt requirements-dev.txt requirements-visdom.txt | $(VENV)/bin/python
	@echo "Installing requirements-dev.txt and requirements-visdom.txt into $(VENV): once, for some minutes"
	@$(PIP) -r requirements-dev.txt
	@$(PIP) --no-build-isolation -r requirements-visdom.txt || echo "Visdom could not be installed; going on without it."
	@touch $(VENV)/run.stamp $@

clean:
	rm -rf $(VENV) datasets/shapes results/shapes build *.egg-info .pytest_cache .ruff_cache .mypy_cache .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
