# Captures and their golden answers.

.PHONY: captures
captures: setup ## Make the captures and their golden answers anew, and tell what changes; ARGS=--check only tells
	@$(PYTHON) -m tests.captures.regenerate $(ARGS)

.PHONY: record
record: setup ## Record the captures' traffic anew, as root (then: make captures); ARGS="http dns" for some of it
	@$(PYTHON) -m tests.captures.record $(ARGS)
