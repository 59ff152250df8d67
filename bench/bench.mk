# Measurements. BENCH_ARGS is handed on (see: make bench BENCH_ARGS=--help).
BENCH_ARGS ?=

.PHONY: bench bench-quick

bench: ## Measure, some 45 minutes: traffic beside kube-proxy and others, memory, programming, changes, sizes
	@$(PYTHON) -m bench $(BENCH_ARGS) $(ARGS)

bench-quick: setup ## Measure, three minutes: traffic with 10 Services beside no proxy and nftables
	@$(PYTHON) -m bench --quick $(BENCH_ARGS) $(ARGS)

.PHONY: bench-report
bench-report: setup ## Draw what the last make bench left: bench/report/, and the README's table
	@scripts/install-packages drawing
	@$(PYTHON) -m bench.drawing --readme README.md
