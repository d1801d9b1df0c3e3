# What a person or CI runs. Everything is installed into .venv; `make install` says what it adds to the machine and why.
.DEFAULT_GOAL := help
.PHONY: help install demo down test unit check format bench fuzz lock clean
BIN := .venv/bin
STAMP := .venv/.installed

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMP) ## install plait and what it needs into .venv

$(STAMP): requirements.lock pyproject.toml scripts/install
	scripts/install
	@touch $(STAMP)

demo: install ## bring up a mesh with the Sock Shop in it; UP="--ports auto" adds to plait up
	$(BIN)/plait up --demo sock-shop $(UP)
	@echo "READY http://127.0.0.1:$$($(BIN)/plait status -o json | $(BIN)/python -c 'import json,sys; print(json.load(sys.stdin)["ports"]["http"])')"

down: ## stop the mesh
	$(BIN)/plait down

test: install check ## lint, types, import rules and all tests
	scripts/install-for-tests
	$(BIN)/python -m pytest -n 2 --dist loadgroup

unit: install ## the fast tests only
	$(BIN)/python -m pytest -n 2 --dist loadgroup tests/unit

check: install ## lint, types and import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install ## figures, each as a ratio against something real measured in the same run
	$(BIN)/python benchmarks/shop.py
	$(BIN)/python benchmarks/path.py
	$(BIN)/python benchmarks/push.py
	$(BIN)/python benchmarks/push_scoped.py
	$(BIN)/python benchmarks/generate.py
	$(BIN)/python benchmarks/machine.py
	$(BIN)/python benchmarks/load.py
	$(BIN)/python benchmarks/analyze.py
	$(BIN)/python benchmarks/trial.py

fuzz: install ## a million generated inputs for validation, and longer property tests
	PLAIT_FUZZ=1000000 $(BIN)/python -m pytest tests/unit/validation_of_files/test_fuzz.py
	$(BIN)/python -m pytest tests/unit --hypothesis-profile=fuzz
	PLAIT_WORLDS=1000 $(BIN)/python -m pytest tests/envoy/xds/test_any_objects.py
	$(BIN)/python -m tests.unit.validation_of_files.guided # with atheris, where it is installed

lock: ## resolve the dependencies anew
	scripts/lock

clean: ## remove what was installed
	rm -rf .venv
