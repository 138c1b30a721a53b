# Every command of the book, as CI runs it. `make` lists them.
#
#   CH="06 01"     the chapters that run, adopt, format and notebooks take, by
#                  the beginning of their file names; none means all
#   TEXT=1         run: only prose and captions changed, keep the outputs
#   FORCE=1        let run or adopt drop the other side's edits
#   TORCH_INDEX=   another index for PyTorch, see book/press/setup.sh

SHELL := /bin/bash
PY := .venv/bin/python
PRESS := $(PY) -m book.press
CH ?=
FORCE_FLAG := $(if $(FORCE),--force)
TEXT_FLAG := $(if $(TEXT),--text)

# One thread a process, dates from the calendar of the book, no traces.
export OMP_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
export SOURCE_DATE_EPOCH ?= 315619200
export TORCH_INDEX ?=
export NUMBA_CACHE_DIR ?= $(CURDIR)/.cache/numba
export HF_HUB_OFFLINE ?= 1

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup tex data export run adopt format sync lint unit notebooks \
  test bench stats hooks clean

help:  ## List the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' \
	  $(MAKEFILE_LIST)

setup:  ## Make .venv with everything pinned (every command does this first)
	@bash book/press/setup.sh

tex: setup  ## Install TeX and fonts if they are missing (make pdf does this)
	@bash book/press/tex.sh

data: setup  ## Fetch the real texts that the chapters use
	$(PY) -m llm_from_scratch.corpus.fetch

export: setup  ## Write package and README's numbers from the chapters
	$(PRESS).export
	$(PRESS).readme

run: setup  ## Execute the text of chapters into their .ipynb: CH="06"
	$(PRESS).run $(FORCE_FLAG) $(TEXT_FLAG) $(CH)

adopt: setup  ## Carry edits made in Jupyter back into the text: CH="06"
	$(PRESS).adopt $(FORCE_FLAG) $(CH)

format: setup  ## Format Python files and the code in the chapters: CH="06"
	$(PRESS).tidy $(CH)
	$(PY) -m ruff check --fix-only -q book tests benchmarks
	$(PY) -m ruff format -q book tests benchmarks

sync: setup  ## Check that text, notebooks and package agree
	$(PRESS).sync
	$(PRESS).readme --check

lint: setup  ## Style, types, layers, spelling, rules of the manuscript
	$(PRESS).lint

unit: setup  ## Unit tests, two at a time
	$(PY) -m pytest -n 2 --dist loadfile

notebooks: setup  ## Run chapters again and compare every output: CH="06"
	$(PRESS).validate $(CH)

test: setup sync lint data unit notebooks  ## Every check

bench: setup  ## Measure against other programs (benchmarks/results)
	set -e; for script in benchmarks/*.py; do $(PY) $$script; done

stats: setup  ## Count words, code and figures of each chapter
	$(PRESS).stats

hooks: setup  ## Let git check each commit (pre-commit, local hooks)
	$(PY) -m pre_commit install

clean:  ## Remove builds and caches; .venv stays
	rm -rf _build .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis \
	  .import_linter_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

-include book/press/print.mk

# The print needs the environment, and the PDF and diagrams need TeX.
html: setup
pdf figures: setup tex
