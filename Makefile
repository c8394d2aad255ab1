# Two commands matter: `make demo` and `make test`. Both do all their own set-up.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test unit quick lint types fmt bench ddl docs golden screenshots clean

setup: .venv/.ready

.venv/.ready: pyproject.toml examples/flights/requirements.txt .ci/setup
	PYTHON=$(PYTHON) bash .ci/setup
	@touch $@

demo: setup
	cd examples/flights && PATH="$(CURDIR)/$(BIN):$$PATH" python demo.py

test: setup lint
	bash .ci/setup-browser
	bash .ci/tests

unit: setup
	$(BIN)/python -m pytest tests/unit

quick: setup
	$(BIN)/python -m pytest tests/unit tests/contract tests/crash tests/workspace

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

fmt: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup
	$(BIN)/python bench/startup.py

ddl: setup
	$(BIN)/python ddl/generate.py

docs: setup
	$(BIN)/python docs/generate.py

golden: setup
	$(BIN)/python tests/golden_requests.py

screenshots: setup
	bash .ci/setup-browser
	$(BIN)/python docs/images/take.py

clean:
	rm -rf .venv examples/*/.lakeflow
