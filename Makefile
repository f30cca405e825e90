# Two commands for a newcomer: `make demo` installs and shows it at work, `make test` installs and passes the tests.
# Needs: apt install git make python3-venv. Everything lands in .venv; nothing outside this folder is touched.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: demo test unit growth endurance lint table lock clean

demo: $(VENV)/run.done
	$(BIN)/mailwatch demo

# Most tests wait for a server: some run at once, also on one core. `make test AT_ONCE=0` runs one after the other.
AT_ONCE ?= 4
test: $(VENV)/test.done
	$(BIN)/python -m pytest -m "not growth" -n $(AT_ONCE) --dist worksteal

unit: $(VENV)/test.done
	$(BIN)/python -m pytest -m "not server and not long and not growth" -n 2

growth: $(VENV)/test.done
	$(BIN)/python -m pytest -m growth

# Their short forms, a few minutes; what each needs and its long form: tests/endurance/README.md.
EXPERIMENTS ?= kills failpoints power damaged soak backlog
endurance: $(VENV)/test.done
	for each in $(EXPERIMENTS); do PYTHONPATH=tests $(BIN)/python -m endurance.$$each --short || exit 1; done

lint: $(VENV)/test.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

table: $(VENV)/test.done
	$(BIN)/python benchmarks/recognition.py

$(VENV)/run.done: requirements/run.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --require-hashes -r requirements/build.txt -r requirements/run.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/test.done: requirements/test.txt $(VENV)/run.done
	$(PIP) install --require-hashes -r requirements/test.txt
	touch $@

# Needs uv; rewrites the lock files from pyproject.toml and requirements/build.in.
LOCK := uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --quiet --upgrade
lock:
	$(LOCK) requirements/build.in -o requirements/build.txt
	$(LOCK) --extra demo pyproject.toml -o requirements/run.txt
	$(LOCK) --extra demo --extra test -c requirements/run.txt pyproject.toml -o requirements/test.txt

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
