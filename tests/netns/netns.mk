.PHONY: test-by-stack
test-by-stack: setup ## Run the labs' tests once more, with no packet handed straight from pod to pod; ARGS as for test
	@TCNAT_LAB_REDIRECT=off $(PYTEST) -m "not slow and not cluster" -n 2 --dist loadfile tests/netns tests/security $(ARGS)
