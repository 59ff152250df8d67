# A real API server and a real kube-proxy.
.PHONY: setup-cluster
setup-cluster: setup
	@scripts/install-packages cluster
	@$(PYTHON) -m tests.cluster

.PHONY: test-cluster
test-cluster: setup-cluster ## Test against a real API server, and side by side with a real kube-proxy; ARGS as for test
	@$(PYTEST) -m cluster tests/cluster $(ARGS)
