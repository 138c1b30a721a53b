# The print: diagrams, the PDF, the site. Included by the Makefile, which
# defines PY and what the targets need before they run.
.PHONY: figures pdf html

figures:  ## Draw the diagrams whose source changed
	$(PY) -m book.press.print_figures

pdf:  ## Print the book: _build/llm-from-scratch.pdf
	$(PY) -m book.press.print_pdf pdf

html:  ## The same book as a site: _build/html/index.html
	$(PY) -m book.press.print_pdf html
