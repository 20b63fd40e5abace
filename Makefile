# Two commands do everything on a fresh machine: `make run` and `make test`.
.DEFAULT_GOAL := help
.PHONY: help setup node run test test-sqlite test-postgresql test-mariadb sure format lint types \
	openapi coverage migrations-check requirements clean fuzz machines security bench bench-self \
	bench-queue bench-growth bench-cores bench-report soak proofs

PYTEST = .venv/bin/pytest -n $(or $(TEST_WORKERS),2) -q
# The command as it was typed goes into the results.
BENCH = BENCH_COMMAND="$(strip make $@ $(MAKEOVERRIDES))" .venv/bin/python -m bench
BENCH_FLAGS = $(if $(PRODUCT),--product $(PRODUCT)) $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY)) \
	$(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(MINUTES),--minutes $(MINUTES))

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "  make %-18s %s\n", $$1, $$2}'

setup: ## Make .venv and install what is needed; the other targets do this themselves
	@bin/setup

node: setup ## Install the packages of tests/js, and Node.js where there is none; nothing but tests needs them
	@bin/node

run: setup ## Migrate, fill with demo data and serve on PORT (8000)
	@exec bin/run

test: setup ## All tests, on SQLite and then on PostgreSQL
	@command -v valkey-server >/dev/null || bin/packages redis-server || echo "Without it, the tests that need Redis are skipped."
	@[ -x /usr/sbin/nginx ] || bin/packages nginx-light || echo "Without it, the tests that need nginx are skipped."
	@$(MAKE) --no-print-directory test-sqlite test-postgresql

test-sqlite: setup node ## All tests on SQLite
	TEST_DATABASE=sqlite $(PYTEST) $(ARGS)

test-postgresql: setup node ## All tests on PostgreSQL
	TEST_DATABASE=postgresql $(PYTEST) $(ARGS)

test-mariadb: setup ## The tests that say something about the database, on MariaDB
	@bin/packages mariadb-server
	TEST_DATABASE=mariadb $(PYTEST) -m database $(ARGS)

sure: setup node ## Everything that CI runs
	@bin/sure

format: setup ## Rewrite the code in the house's format
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix-only --quiet .

lint: setup ## Check the format and the rules of style
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .

types: setup ## Check the types
	.venv/bin/mypy

openapi: setup ## Write docs/openapi.json and docs/asyncapi.json anew from the code
	.venv/bin/flask --app wsgi openapi > docs/openapi.json
	.venv/bin/flask --app wsgi asyncapi > docs/asyncapi.json

proofs: setup node ## The long proofs at full size, on PostgreSQL; `make test` has their short form
	@bin/packages redis-server nginx-light
	PROOFS=long TEST_DATABASE=postgresql .venv/bin/pytest -q tests/proofs $(ARGS)

fuzz: setup node ## What the OpenAPI document allows, as five identities: over 10,000 requests; SEED with PROOFS_SEED
	PROOFS=long TEST_DATABASE=postgresql .venv/bin/pytest -q tests/proofs/test_fuzz.py $(ARGS)

machines: setup ## Tasks, applications and payouts against models in memory, 2,000 × 50 steps a database; SEED with PROOFS_SEED
	@bin/packages mariadb-server
	for database in sqlite postgresql mariadb; do \
		PROOFS=long TEST_DATABASE=$$database .venv/bin/pytest -n 2 -q tests/proofs/test_*_machine.py $(ARGS) || exit 1; \
	done

security: setup ## What bandit finds of medium or high severity
	.venv/bin/bandit --quiet --recursive --severity-level medium idyll migrations bench config.py wsgi.py gunicorn.conf.py

coverage: setup node ## Branch coverage of the tests on SQLite and PostgreSQL together
	rm -f .coverage .coverage.*
	TEST_DATABASE=sqlite COVERAGE_FILE=.coverage.sqlite $(PYTEST) --cov --cov-report= --cov-fail-under=0
	TEST_DATABASE=postgresql COVERAGE_FILE=.coverage.postgresql $(PYTEST) --cov --cov-report= --cov-fail-under=0
	bin/coverage

migrations-check: setup ## Migrations up, down and up again, with data, on all three databases
	@bin/packages mariadb-server
	TEST_DATABASE=sqlite $(PYTEST) tests/test_migrations.py
	TEST_DATABASE=postgresql $(PYTEST) tests/test_migrations.py
	TEST_DATABASE=mariadb $(PYTEST) tests/test_migrations.py

bench: setup ## Beside a peer: PEER_DIR=… [QUICK=1] [ONLY=me,tasks] [ROUNDS=3] [SECONDS=6] [PRODUCT=another checkout]
	@bin/packages wrk
	@$(BENCH) compare $(if $(PEER_DIR),--peer $(PEER_DIR)) $(BENCH_FLAGS)

bench-self: setup node ## The same rows of the product alone
	@bin/packages wrk
	@$(BENCH) compare --alone $(BENCH_FLAGS)

bench-growth: setup ## What lists, searches and writes cost at 10 k, 100 k and 1 M rows, and a sweep
	@bin/packages wrk
	@$(BENCH) growth $(BENCH_FLAGS)

bench-cores: setup node ## One, two and three processes behind nginx with Valkey, on two cores
	@bin/packages wrk nginx-light redis-server
	@$(BENCH) cores $(BENCH_FLAGS)

soak: setup node ## Everything at once for MINUTES=30, and what it does to memory
	@bin/packages wrk
	@$(BENCH) soak $(BENCH_FLAGS)

bench-report: setup ## docs/performance.json into docs/performance.md and its pictures
	@.venv/bin/python -m bench report

bench-queue: setup node ## The log of events beside Flask-SocketIO's message queue, as docs/adr/008 weighs them
	@bin/packages redis-server
	TEST_DATABASE=postgresql PYTHONPATH=.:tests .venv/bin/python bench/message_queue.py

requirements: setup ## Compile requirements*.txt from requirements*.in; UPGRADE=1 takes new versions
	bin/requirements $(if $(UPGRADE),--upgrade)

clean: ## Remove what tools and runs have made, the development database too
	rm -rf .venv tests/js/node_modules .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* .bench instance
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
