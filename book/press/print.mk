# The print: diagrams, the PDF, the site. Included by the Makefile, which
# defines PY, the interpreter of the book's own environment.
.PHONY: figures pdf html

figures:  ## Draw the diagrams whose source changed
	$(PY) -m book.press.print_figures

pdf: $(SETUP)  ## Print the book: _build/llm-from-scratch.pdf
	$(PY) -m book.press.print_pdf pdf

html: $(SETUP)  ## The same book as a site: _build/html/index.html
	$(PY) -m book.press.print_pdf html
