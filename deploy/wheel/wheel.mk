# The Python package: sources of the packet programs and their bytecode inside.

.PHONY: wheel
wheel: setup ## Build the wheel with bytecode for this architecture inside: build/wheel
	@rm -rf build/bytecode build/lib build/wheel
	@TCNAT_CACHE=build/bytecode $(PYTHON) deploy/fill_cache.py
	@$(PYTHON) -m pip wheel -q --no-index --no-deps --no-build-isolation --wheel-dir build/wheel .
	@ls build/wheel/*.whl
