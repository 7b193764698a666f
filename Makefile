# The two commands of README.md, for a machine with Python 3.10-3.12 and
# nothing else:
#
#   make quickstart   train, test and look at a small Mask R-CNN
#   make test         run the tests
#
# and one for the results of all methods (hours on a CPU, minutes on a GPU):
#
#   make gallery      train, test and publish what is missing; see
#                     docs/gallery/README.md
#
# All set up an environment first and reuse everything that is there already.
# Variables, each of them for the command line or the environment:
#
#   PYTHON       interpreter of 3.10-3.12; found by itself
#   VENV         the environment, .venv
#   TORCH        what pip installs as torch; where its build for CUDA or for
#                the CPU comes from is up to pip's own settings
#   WHEELS       folder with a compiled wheel of onedl-mmcv; optional
#   PYTEST_ARGS  further arguments of pytest, such as '-k mim'
#   WORKERS      processes that run tests
#
# Of `make gallery`, for the command line alone:
#
#   BUDGET       minutes after which it stops, to be resumed by the next run
#   DEVICE       auto, cpu or cuda
#   METHODS      such as 'solo yolact'; all by default
#   DATASETS     shapes, nuclei; both by default
#   SEEDS        such as '0 1'; auto by default
#   ARGS         further arguments: --dry-run, --pages-only, --threads N

VENV ?= .venv
TORCH ?= torch==2.13.0
WHEELS ?=
PYTEST_ARGS ?=
WORKERS ?= 2

SUPPORTED := import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))
ifndef PYTHON
PYTHON := $(shell for p in python3 python3.12 python3.11 python3.10; do \
  if $$p -c '$(SUPPORTED)' 2>/dev/null; then echo $$p; break; fi; done)
endif

BIN := $(abspath $(VENV))/bin
PY := $(BIN)/python
# What a step depends on; it runs again when this changes.
STAMPS := $(abspath $(VENV))/.mmseghead
TORCH_KEY := $(TORCH)
PACKAGE_KEY := $(CURDIR) $(TORCH) $(abspath $(WHEELS)) \
  $(shell cat setup.cfg setup.py pyproject.toml | cksum)
EXTRAS := lite,mim,dev
FIND_LINKS := $(if $(WHEELS),--find-links $(abspath $(WHEELS)))

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

# $(call step,name,stamp,key,recipe): run the recipe unless the stamp holds
# the key, and say how long it took.
define step
@if [ "$$(cat '$(STAMPS)/$(2)' 2>/dev/null)" = '$(strip $(3))' ]; then \
  echo '==> $(1): done before'; \
else \
  echo '==> $(1)'; begin=$$(date +%s); \
  { $(4); } || { echo '==> $(1): FAILED' >&2; exit 1; }; \
  mkdir -p '$(STAMPS)' && echo '$(strip $(3))' > '$(STAMPS)/$(2)'; \
  echo "==> $(1): $$(( $$(date +%s) - begin )) s"; \
fi
endef

.PHONY: help setup quickstart gallery test doctor lint
help:
	@sed -n '/^#/!q;s/^# \{0,1\}//p' Makefile

setup:
	@if [ -z '$(PYTHON)' ] || ! $(PYTHON) -c '$(SUPPORTED)'; then \
	  echo "mmseghead needs Python 3.10, 3.11 or 3.12; found: $$( \
	    $(or $(PYTHON),python3) --version 2>&1). Install one of them and" \
	    "name it: make $(or $(MAKECMDGOALS),setup) PYTHON=/path/to/python3.12" >&2; \
	  exit 1; \
	fi
	$(call step,environment in $(VENV),venv,venv, \
	  { $(PY) -m pip --version >/dev/null 2>&1 || \
	    $(PYTHON) -m venv '$(VENV)'; } && \
	  { $(PY) -m pip install -q --upgrade pip || echo 'keeping the old pip'; })
	$(call step,$(TORCH),torch,$(TORCH_KEY), \
	  $(PY) -m pip install '$(TORCH)')
# Nothing that follows may replace the torch just chosen: it is pinned.
	$(call step,mmseghead and its dependencies,package,$(PACKAGE_KEY), \
	  $(PY) -c 'from importlib.metadata import version as v; print("torch==" + v("torch"))' \
	    > '$(STAMPS)/constraints.txt' && \
	  $(PY) -m pip install -c '$(STAMPS)/constraints.txt' $(FIND_LINKS) \
	    -e '.[$(EXTRAS)]' && \
	  $(PY) tools/misc/repair_environment.py $(if $(WHEELS),--wheels '$(abspath $(WHEELS))'))

quickstart: setup
	@$(PY) tools/quickstart.py

# Only what the command line says: DEVICE and SEEDS are common names.
gallery_flag = $(if $(filter command%,$(origin $(1))),--$(2) $($(1)))
gallery: setup
	@$(PY) tools/gallery.py $(call gallery_flag,BUDGET,budget) \
	  $(call gallery_flag,DEVICE,device) $(call gallery_flag,METHODS,methods) \
	  $(call gallery_flag,DATASETS,datasets) \
	  $(call gallery_flag,SEEDS,seeds) $(ARGS)

# One thread per worker: more only make the workers wait for each other.
test: setup
	@OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(PY) -m pytest -n $(WORKERS) \
	  --dist loadgroup --durations 15 $(PYTEST_ARGS)

doctor: setup
	@$(PY) -m mmseghead.doctor

lint: setup
	@$(BIN)/flake8 mmseghead tools tests setup.py
	@$(BIN)/isort --check-only --diff mmseghead tools tests setup.py
