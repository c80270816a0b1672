# Everything a visitor runs. `make demo` and `make test` need nothing but python3 and the network for the first install.
SHELL := bash
PYTHON ?= python3
WORKERS ?= 2
BIN := .venv/bin
READY := .venv/.ready
# One thread for each process: small networks on many threads spend their time waiting for each other.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help install demo latent test test-slow test-gpu test-slurm lint docs clean

help:
	@echo "make demo        train a path model, explain digits with six methods, leave outputs/demo/report.html"
	@echo "make latent      train latent DiffIG's five parts on digits and compare it with its peers, outputs/latent_main/small/report"
	@echo "make test        all tests that need neither patience, a GPU nor a cluster"
	@echo "make test-slow   the patient ones     make test-gpu   those for CUDA     make test-slurm   those for sbatch"
	@echo "make lint        formatting, lint, types"
	@echo "make docs        the documentation site, site/index.html"
	@echo "make install     only the environment in .venv (PYTHON=python3.12 chooses the interpreter)"
	@echo "make clean       remove caches, builds and the demo's results; .venv stays"

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[dev]'
	@touch $@

install: $(READY)

demo: $(READY)
	PATH="$(CURDIR)/$(BIN):$$PATH" experiments/demo/run.sh

latent: $(READY)
	PATH="$(CURDIR)/$(BIN):$$PATH" experiments/latent_main/run.sh small

test: $(READY)
	$(PYTEST) -n $(WORKERS) --dist loadfile -m "not slow and not gpu and not slurm"

test-slow: $(READY)
	$(PYTEST) -n $(WORKERS) --dist loadfile -m "slow and not gpu and not slurm"

test-gpu: $(READY)
	$(PYTEST) -m gpu

test-slurm: $(READY)
	$(PYTEST) -m slurm

lint: $(READY)
	$(BIN)/ruff format --check src tests experiments
	$(BIN)/ruff check src tests experiments
	$(BIN)/mypy

docs: $(READY)
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

clean:
	rm -rf build dist site .cache outputs/demo .pytest_cache .ruff_cache .mypy_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
