# Measurements. BENCH_ARGS is handed on (see: make bench BENCH_ARGS=--help).
BENCH_ARGS ?=

bench: ## Measure: memory, programming, changes, requests per second, sizes of the programs
	@$(PYTHON) -m bench $(BENCH_ARGS)

.PHONY: bench-report
bench-report: setup ## Draw what the last make bench left: bench/report/, and the README's table
	@scripts/install-packages drawing
	@$(PYTHON) -m bench.drawing --readme README.md
