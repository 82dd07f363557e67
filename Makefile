# Each target is a line over scripts/setup.py, which makes .venv when it is missing or outdated.
# ARGS goes to the program behind the target: make run ARGS="--config my.toml", make test ARGS="tests/unit -k money".

PYTHON ?= python3
SETUP := $(PYTHON) -BIS scripts/setup.py
IMAGE_LOCKS := src/undercroft/deploy/data
TORTURED ?= tests/simulation/test_jobs.py tests/integration/test_jobs.py tests/integration/test_batches.py \
	tests/integration/jobs tests/integration/test_kill_nine.py tests/integration/test_described_api.py
COMPILE := uv pip compile --quiet --generate-hashes --universal --python-version 3.11 --no-header --no-annotate

.DEFAULT_GOAL := help
.PHONY: run test check test-system golden torture bench docs lock help

run: ## start the server with the bundled model on port 8000 (PORT=9000: another)
	@$(SETUP) run $(ARGS)

test: ## run the test suite
	@$(SETUP) test $(ARGS)

check: ## format, lint, types, import contracts, spelling
	@$(SETUP) check $(ARGS)

test-system: ## clone this checkout, run it, break it: minutes, and it starts servers
	@$(SETUP) test -n 0 -m system --capture=no tests/system $(ARGS)

golden: ## write the files in tests/golden and docs/reference anew; look at the diff
	@UNDERCROFT_GOLDEN=write $(SETUP) test tests/golden tests/unit/deploy/targets tests/unit/imports tests/docs/test_reference.py $(ARGS)

torture: ## kill what runs jobs and answers, again and again, for hours; prints the seeds that repeat it (shorter: docs/development.md)
	@UNDERCROFT_SEEDS=$${UNDERCROFT_SEEDS:-10000} UNDERCROFT_KILL_JOBS=$${UNDERCROFT_KILL_JOBS:-20000} \
		UNDERCROFT_FAULT_JOBS=$${UNDERCROFT_FAULT_JOBS:-2000} UNDERCROFT_SCHEMA_EXAMPLES=$${UNDERCROFT_SCHEMA_EXAMPLES:-100} \
		UNDERCROFT_KILL_ANSWERS=$${UNDERCROFT_KILL_ANSWERS:-200000} $(SETUP) test -n 0 --capture=no -m "not system" \
		$(TORTURED) $(ARGS)

bench: ## measure gateway, telemetry, vectors and jobs beside others (ARGS="vectors", ARGS="--contenders nginx,undercroft"); ten minutes
	@$(SETUP) bench $(ARGS)

docs: ## build the documentation as a site, into site/
	@$(SETUP) docs $(ARGS)

lock: ## resolve requirements/*.txt again (ARGS=--upgrade: to the newest versions)
	@$(SETUP) $(COMPILE) $(ARGS) requirements/uv.in -o requirements/uv.txt
	@$(SETUP) $(COMPILE) $(ARGS) pyproject.toml --extra local --extra postgres --extra redis --extra vectors --extra deploy --extra releases -c requirements/constraints.txt -o requirements/run.txt
	@$(SETUP) $(COMPILE) $(ARGS) pyproject.toml --extra local --extra postgres --extra redis --extra vectors --extra deploy --extra releases requirements/dev.in \
		-c requirements/run.txt -c requirements/constraints.txt -o requirements/dev.txt
	@$(SETUP) $(COMPILE) $(ARGS) pyproject.toml --extra postgres --extra redis --extra celery --extra qdrant \
		-c requirements/run.txt -o $(IMAGE_LOCKS)/image.txt
	@$(SETUP) $(COMPILE) $(ARGS) pyproject.toml --extra local -c requirements/run.txt -c $(IMAGE_LOCKS)/image.txt \
		-o $(IMAGE_LOCKS)/image-model.txt
	@$(SETUP) $(COMPILE) $(ARGS) requirements/docs.in -c requirements/dev.txt -o requirements/docs.txt
	@python3 scripts/sbom.py

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{printf "%-20s %s\n", $$1, $$2}'
