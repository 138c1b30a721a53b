"""The press: text notebooks in, package, executed notebooks and book out."""
