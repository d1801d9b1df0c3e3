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

demo: install ## bring up a mesh with the Sock Shop in it
	$(BIN)/plait up --demo sock-shop
	@echo "READY http://127.0.0.1:$$($(BIN)/plait status -o json | $(BIN)/python -c 'import json,sys; print(json.load(sys.stdin)["ports"]["http"])')"

down: ## stop the mesh
	$(BIN)/plait down

test: install check ## lint, types, import rules and all tests
	$(BIN)/python -m pytest

unit: install ## the fast tests only
	$(BIN)/python -m pytest tests/unit

check: install ## lint, types and import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install ## figures, each as a ratio against something real measured in the same run
	$(BIN)/python benchmarks/machine.py
	$(BIN)/python benchmarks/push.py
	$(BIN)/python benchmarks/load.py

fuzz: install ## longer property tests
	$(BIN)/python -m pytest tests/unit --hypothesis-profile=fuzz

lock: ## resolve the dependencies anew
	scripts/lock

clean: ## remove what was installed
	rm -rf .venv
