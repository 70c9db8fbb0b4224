# Everything a newcomer, a developer and CI run. Needs Python 3.11 or newer with venv; nothing else.
PYTHON ?= python3
BIN := .venv/bin
PORT ?= 8000
POSTGRES_URL ?= postgres://postgres@127.0.0.1:5432/postgres

.PHONY: run test torture check bench fmt lock

run: .venv/run-ready .env
	@PORT=$(PORT) exec $(BIN)/python manage.py up --demo

# Everything on SQLite, then everything again on PostgreSQL.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile
test: .venv/dev-ready
	@unset DATABASE_URL; $(PYTEST)
	@if $(BIN)/python -m tests.ask_postgres $(POSTGRES_URL); then \
		DATABASE_URL=$(POSTGRES_URL) $(PYTEST); \
	else echo "No PostgreSQL answers at $(POSTGRES_URL): the tests ran on SQLite only."; fi

# The trials of processes that die, stop or come twice, in full; hours. On PostgreSQL if DATABASE_URL says so.
torture: .venv/dev-ready
	TORTURE=1 $(BIN)/python -m pytest tests/processes/test_torture.py tests/processes/test_fleet.py

check: .venv/dev-ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/lint-imports
	DJANGO_SETTINGS_MODULE=tests.settings $(BIN)/python manage.py makemigrations --check --dry-run
	@SECRET_KEY=$$($(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(50))') \
	LEAP_WEBHOOK_KEYS=only-for-this-check-0123456789 $(BIN)/python manage.py check --deploy --fail-level WARNING

bench: .venv/dev-ready
	@set -e; for file in benchmarks/b[0-9]_*.py; do $(BIN)/python -m benchmarks.$$(basename $$file .py); done

fmt: .venv/dev-ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.env: | .venv/run-ready
	@umask 077; $(BIN)/python -c 'import secrets; new = secrets.token_urlsafe; print("SECRET_KEY=" + new(50)); print("LEAP_WEBHOOK_KEYS=" + new(24))' > $@

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("The portal needs Python 3.11 or newer. Name one: make PYTHON=python3.12 ..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv

.venv/run-ready: requirements/base.txt | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/base.txt
	@touch $@

.venv/dev-ready: requirements/dev.txt | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

# Pins are compiled for every platform and without the address of any index; needs uv.
UV_FLAGS := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header --quiet
lock:
	uv pip compile $(UV_FLAGS) pyproject.toml -o requirements/base.txt
	uv pip compile $(UV_FLAGS) --group dev pyproject.toml -c requirements/base.txt -o requirements/dev.txt
