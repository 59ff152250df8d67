# Measurements. BENCH_ARGS is handed on (see: make bench BENCH_ARGS=--help).
BENCH_ARGS ?=

bench: ## Measure: memory, programming, changes, requests per second, sizes of the programs
	@$(PYTHON) -m bench $(BENCH_ARGS)
