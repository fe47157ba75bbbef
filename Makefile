# Python and its tools are those of .venv; another environment: make check BIN=/path/to/bin
BIN ?= .venv/bin

.PHONY: check lint types quick test

check: lint types quick  ## what a change should pass before it is committed

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(BIN)/mypy

quick:
	$(BIN)/pytest -q -n 2 -m quick

test:  ## all tests, as README.md says
	$(BIN)/python -m pytest -n 2 --dist loadfile --ignore tests/faults
	$(BIN)/python -m pytest tests/faults
