# `make` alone shows what there is. Needs make, python3 (3.11 or newer), python3-venv and git.

PYTHON ?= python3
BIN := .venv/bin
ENVS := .cache/envs
UV_VERSION := 0.13.8
UV := $(ENVS)/uv/bin/uv
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header
ifdef UPGRADE
COMPILE += --upgrade
endif

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup envs demo demo-check test test-e2e chromium lint format docs pictures lock clean clean-envs
.PHONY: env-serving env-sdk env-tensorflow env-label-studio env-label-studio-ml env-torch test-torch
.PHONY: env-peers env-quantize test-quantize
.DELETE_ON_ERROR:

help:  ## This list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

setup: .venv/.installed  ## The development environment, .venv, with both commands

# A stamp stands last, so an environment that was broken off is made anew, and so is one whose
# requirements changed.
MAKE_ENV := $(PYTHON) backend/demo/environment.py

.venv/.made: requirements/dev.txt
	@$(MAKE_ENV) $(@D) $<

.venv/.installed: .venv/.made pyproject.toml
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# The oracles live apart: their requirements contradict each other and the serving set.
$(ENVS)/%/.made: requirements/%.txt
	@$(MAKE_ENV) $(@D) $<

$(ENVS)/serving/.made: requirements.txt
	@$(MAKE_ENV) $(@D) $<

# The demo installs it too, so its pins are in the package.
$(ENVS)/label-studio/.made: backend/demo/label-studio.txt
	@$(MAKE_ENV) $(@D) $<

# PyTorch, Keras and NNCF run in the converter's own process, so the project is installed there too.
$(ENVS)/torch/.installed $(ENVS)/tensorflow/.installed $(ENVS)/quantize/.installed: %.installed: %.made pyproject.toml
	$(@D)/bin/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

env-serving: $(ENVS)/serving/.made  ## requirements.txt and nothing else
env-sdk: $(ENVS)/sdk/.made  ## label-studio-sdk, which judges predictions and brush masks
env-tensorflow: $(ENVS)/tensorflow/.installed  ## TensorFlow, which judges converted graphs, with this project
env-label-studio: $(ENVS)/label-studio/.made  ## Label Studio itself
env-torch: $(ENVS)/torch/.installed  ## PyTorch and torchvision with this project, 3 GB to fetch
env-quantize: $(ENVS)/quantize/.installed  ## NNCF with this project
env-peers: $(ENVS)/peers/.made  ## What benchmarks/ compares this project with
env-label-studio-ml: $(ENVS)/label-studio-ml/.made  ## The serving set under a stock label-studio-ml

envs: setup env-serving env-sdk env-tensorflow env-label-studio env-label-studio-ml  ## All environments

DEMO := $(BIN)/labelvino demo --environment $(ENVS)/label-studio

demo: setup  ## Label Studio with images and predictions, until Ctrl-C
	@$(DEMO) --data .cache/demo $(ARGS)

demo-check: setup  ## The same without staying: sees that every task has a prediction
	@$(DEMO) --check $(ARGS)

test: setup env-serving env-sdk env-tensorflow env-label-studio-ml  ## Everything quick
	$(BIN)/pytest -m "not e2e" --ignore=tests/pytorch --ignore=tests/quantization $(ARGS)

test-torch: env-torch  ## Sources of PyTorch against PyTorch, in an environment of their own
	$(ENVS)/torch/bin/pytest tests/pytorch $(ARGS)

test-quantize: env-quantize  ## INT8 with NNCF, in an environment of its own
	$(ENVS)/quantize/bin/pytest tests/quantization $(ARGS)

test-e2e: setup env-label-studio env-quantize chromium  ## A real Label Studio and a real browser
	$(BIN)/pytest tests/e2e $(ARGS)

chromium:  ## Install Chromium where it is missing and that is possible
	@tests/e2e/ensure-chromium

lint: setup  ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup  ## Let ruff format and repair
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

pictures: setup env-label-studio chromium  ## Take the documentation's pictures anew
	PYTHONPATH=tests $(BIN)/python tests/e2e/take_pictures.py

docs: setup  ## Write docs/commands.md anew from the commands' help
	$(BIN)/python -m tests.command_reference

$(ENVS)/uv/.made: Makefile
	rm -rf $(@D)
	mkdir -p $(ENVS)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet uv==$(UV_VERSION)
	@touch $@

lock: $(ENVS)/uv/.made  ## Pin the requirements anew; UPGRADE=1 takes newer versions
	$(COMPILE) requirements/serving.in -o requirements.txt
	$(COMPILE) requirements/dev.in -o requirements/dev.txt
	$(COMPILE) requirements/sdk.in -o requirements/sdk.txt
	$(COMPILE) requirements/peers.in -o requirements/peers.txt
	$(COMPILE) requirements/tensorflow.in -o requirements/tensorflow.txt
	$(COMPILE) requirements/torch.in -o requirements/torch.txt
	$(COMPILE) requirements/quantize.in -o requirements/quantize.txt
	$(COMPILE) requirements/label-studio.in -o backend/demo/label-studio.txt
	$(COMPILE) requirements/label-studio-ml.in -o requirements/label-studio-ml.txt

clean:  ## Remove what tests and builds leave behind
	rm -rf artifacts build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -rf .import_linter_cache .cache/label-studio-template
	find backend converter tests -name __pycache__ -type d -prune -exec rm -rf {} +

clean-envs: clean  ## Remove the environments too
	rm -rf .venv .cache
