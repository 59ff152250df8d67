# Older kernels in an emulator. VM_ARGS is handed on: names of Debian releases, or options (see: make test-vm VM_ARGS=--help).
VM_ARGS ?=

.PHONY: test-vm
test-vm: ## Run the guest suite on Debian's older kernels, or with KERNEL=path on a bzImage of your own
	$(PYTHON) -m tests.vm $(if $(KERNEL),--kernel $(KERNEL)) $(if $(MODULES),--modules $(MODULES)) $(VM_ARGS)
