# Every command of the book. `make help` lists them.
PY := .venv/bin/python
CH ?=

export SOURCE_DATE_EPOCH ?= 315619200
export OMP_NUM_THREADS ?= 1

.PHONY: help export run

help:  ## List the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/ #/' | \
	  awk -F ' # *' '{printf "make %-11s %s\n", $$1, $$2}'

export:  ## Write the package from the chapters
	$(PY) -m book.press.export

run:  ## Execute chapters into their .ipynb: make run CH="06 01"
	$(PY) -m book.press.run $(if $(FORCE),--force) $(CH)

-include book/press/print.mk
