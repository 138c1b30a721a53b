# The print: diagrams, the PDF, the site. Included by the Makefile, which
# defines PY (the interpreter of the book's own environment).
PY ?= .venv/bin/python

.PHONY: figures pdf html

figures:  ## Draw the diagrams whose source changed (book/figures)
	$(PY) -m book.press.print_figures
