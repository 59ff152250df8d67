# What runs tcnat where there is neither Python nor a compiler.

.PHONY: bundle
bundle: setup ## Build one directory, packed too, that runs tcnat where there is no Python: build/bundle
	@scripts/install-packages bundle
	@$(PYTHON) -m deploy.bundle
