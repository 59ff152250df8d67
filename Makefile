# tcnat: `make` alone tells what there is.

SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
PYTEST := $(PYTHON) -m pytest
C_FILES = $(wildcard bpf/*.c bpf/*.h bench/*/*.c deploy/*/*.c)
SHELL_FILES = .ci/run $(filter-out %.txt %.py,$(wildcard scripts/*))

.PHONY: help
help: ## Show this list
	@echo "make TARGET [NAME=VALUE]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Install what is missing: Debian packages (as root), Python packages into .venv
	@scripts/install-packages test
	@scripts/install-venv

.PHONY: demo
demo: setup ## Show Services at work in a lab of network namespaces; KEEP=1 leaves the lab standing
	@$(PYTHON) -m tests.lab.demo $(if $(KEEP),--keep)

.PHONY: demo-clean
demo-clean: ## Remove the lab that KEEP=1 left
	@$(PYTHON) -m tests.lab.demo --clean

.PHONY: test
test: setup ## Run every test that ends soon; ARGS="-k name" for some of them
	@scripts/install-packages drawing
	@$(PYTEST) -m "not slow and not cluster" -n 2 --dist loadfile $(ARGS)

.PHONY: test-long
test-long: setup ## Run the longer lanes: far more random input, every mutant of the C
	@scripts/install-packages bundle
	@HYPOTHESIS_PROFILE=long $(PYTEST) -m "slow or hypothesis" -n 2 --dist worksteal $(ARGS)

.PHONY: mutants
mutants: setup ## Break the C on purpose and see that the tests notice; ARGS="words of its sentence" for one
	@$(PYTHON) -m tests.mutants $(ARGS)

.PHONY: coverage
coverage: setup ## Tell which branches and reasons of the C the tests meet
	@$(PYTHON) -m tests.coverage

.PHONY: check
check: setup ## Look at style and types: ruff, mypy, clang-format, shellcheck
	@scripts/install-packages check
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	clang-format --dry-run -Werror $(C_FILES)
	shellcheck $(SHELL_FILES)

.PHONY: format
format: setup ## Lay out Python and C as `make check` wants them
	@scripts/install-packages check
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .
	clang-format -i $(C_FILES)

.PHONY: setup-vm
setup-vm: setup
	@scripts/install-packages vm

test-vm: setup-vm

.PHONY: setup-bench
setup-bench: setup-cluster
	@scripts/install-packages bench bundle

bench: setup-bench

.PHONY: clean
clean: ## Remove what was built here: .venv, caches
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

-include $(wildcard tests/*/*.mk bench/*.mk deploy/*/*.mk)
