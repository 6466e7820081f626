# Two commands do everything: `make demo` shows the product, `make test` proves it.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DATA ?=

.PHONY: demo test setup soak bench check-style reference wheel clean

$(READY): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "Carillon needs Python 3.11 or newer (make PYTHON=python3.12 …)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip -c constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[parquet,dev]'
	touch $(READY)

setup: $(READY)

demo: $(READY)
	$(BIN)/carillon demo $(if $(DATA),--data "$(DATA)")

# In the order of the files: by their number of tests the few long ones would come last, on one core.
test: $(READY) check-style
	$(BIN)/python -m pytest -m "not soak" -n 2 --dist loadscope --no-loadscope-reorder

soak: $(READY)
	CARILLON_SOAK_TABLE=soak.md $(BIN)/python -m pytest -m soak --timeout 7200

bench: $(READY)
	$(BIN)/python -m tests.benchmarks

check-style: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

reference: $(READY)
	$(BIN)/python -m carillon.definition.reference docs/language.md

wheel: $(READY)
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

clean:
	rm -rf $(VENV) demo dist build *.egg-info
