# Generated from chapters/appendix_run.md by `make export`. Do not edit.
"""`python -m llm_from_scratch` is `llm`."""

from llm_from_scratch.cli.app import main

__all__: list[str] = []


if __name__ == "__main__" and __spec__:  # a notebook has no spec
    main()
