# Everything a developer does, in one word each. `make setup` is idempotent; the others call it.
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow crash sim chaos soak teeth mutants check audit sbom bench docs lock lock-check lock-stack clean
bin := .venv/bin

help:  ## Say what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|' 2>/dev/null \
	    || sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1 - \2/p' $(MAKEFILE_LIST)

setup:  ## Install everything that is missing
	@scripts/setup

demo: setup  ## Show the whole product on this machine
	@$(bin)/brh demo

test: setup  ## Run the tests, with ARGS="-k word" only some, with JOBS=2 on two stacks side by side
	@$(bin)/python -m pytest $(if $(JOBS),-n $(JOBS) --dist loadfile --no-loadscope-reorder) $(ARGS)

test-slow: setup  ## Run the tests that take minutes each (about a quarter of an hour)
	@$(bin)/python -m pytest -m slow $(ARGS)

sim: setup  ## Simulate 20 million steps with faults, or HOURS=8 with seeds of their own, noted in the ledger
ifdef HOURS
	@$(bin)/python -m tests.sim --seed $(or $(SEED),$$(date +%s)000) --hours $(HOURS) --processes 2 --ledger
else
	@$(bin)/python -m tests.sim --seed $(or $(SEED),1) --steps 20_000_000 --processes 2
endif

chaos: setup  ## Break a whole installation for MINUTES=5 with SEED=7, and judge it from outside
	@$(bin)/python -m tests.chaos run --minutes $(or $(MINUTES),5) --seed $(or $(SEED),7) $(ARGS)

soak: setup  ## Half an hour of steady load with a fault a minute: what processes hold, and whether it grows
	@$(bin)/python -m tests.chaos run --soak --minutes $(or $(MINUTES),30) --seed $(or $(SEED),11) $(ARGS)

crash: setup  ## Have processes die at every crash point, and write docs/crashes.md (about an hour)
	@$(bin)/python -m tests.crash run $(ARGS)

teeth: setup  ## Plant bugs and see them found, and write docs/teeth.md (minutes)
	@$(bin)/python -m tests.teeth $(ARGS)

mutants: setup  ## Count the mistakes that the pure tests notice, with ARGS="tables/rules.py" in one module (hours in all)
	@scripts/mutants $(ARGS)

bench: setup  ## Measure, and write docs/performance.md (five rounds of a quarter of an hour, on a quiet machine)
	@$(bin)/python -m benchmarks $(ARGS)

docs: setup  ## Write what follows from the code into docs, and build the site into .brh/site
	@$(bin)/python -m reference
	@$(bin)/zensical build --clean --strict

check: setup lock-check  ## Format, lint, types, layers, dependencies, locks, the Dockerfile
	$(bin)/ruff format --check .
	$(bin)/ruff check .
	$(bin)/mypy
	$(bin)/lint-imports
	$(bin)/deptry .
	$(bin)/hadolint Dockerfile

audit: setup  ## Ask whether advisories are known of what is pinned; says NOT AUDITED where nobody can be asked
	@scripts/audit

sbom: setup  ## Write what the product consists of into dist/sbom.cdx.json (CycloneDX)
	@scripts/audit sbom

lock:  ## Pin the dependencies of pyproject.toml anew
	@scripts/lock

lock-check:
	@scripts/lock --check

lock-stack: setup  ## Pin anew what npm and Maven fetch, for brh stack and for examples/node and java
	@$(bin)/python scripts/lock_stack.py

clean:  ## Stop and drop the local stack, and everything that can be made again
	@if [ -x $(bin)/brh ]; then $(bin)/brh stack down --wipe; fi
	rm -rf .venv .brh dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
