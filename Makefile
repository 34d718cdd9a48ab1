# make serve   a server on http://127.0.0.1:8000 (HOST, PORT, WORKERS, DATABASE_URL, … as in .env.example)
# make demo    a scene through the public API, of that server or of one for the while
# make test    every check and every test
# make check   format, lint, types, imports
# make format  put the code in the form that `make check` wants
# make bench   how fast it is, beside databases and plain views; into the README (QUICK=1: less, kept nowhere)
# make bench-cost  whether a request costs more where there is more (in the database of DATABASE_URL)
# make bench-dialects  each dialect beside the plain design of its original, on SQLite and PostgreSQL
# make faults  what is promised, while processes, databases and connections are made to fail
# make docs    write the reference pages that are generated from the code
# make lock    renew the pinned requirements

# Any Python from 3.11 on; PYTHON=python3.13 chooses one, for .venv too.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && exit; \
	done; echo python3)
VENV := $(PYTHON) tools/venv.py $(if $(filter-out file,$(origin PYTHON)),--this-python)
RUN := .venv/bin/python
DEVELOPMENT := requirements-dev.txt

.PHONY: serve demo test check format bench bench-cost bench-dialects faults docs lock python

serve: python
	@$(VENV)
	@exec $(RUN) manage.py serve

demo: python
	@$(VENV)
	@exec $(RUN) manage.py demo

test: python
	@$(VENV) $(DEVELOPMENT)
	@exec $(RUN) tests/run.py

check: python
	@$(VENV) $(DEVELOPMENT)
	@exec $(RUN) tests/run.py --only-checks

format: python
	@$(VENV) $(DEVELOPMENT)
	@$(RUN) -m ruff format .
	@$(RUN) -m ruff check --fix .

bench: python
	@$(VENV) $(DEVELOPMENT)
	@exec $(RUN) -m bench.speed $(if $(QUICK),--quick,--write)

bench-cost: python
	@$(VENV)
	@exec $(RUN) bench/cost.py --write

bench-dialects: python
	@$(VENV) $(DEVELOPMENT)
	@exec $(RUN) bench/dialects.py --write

faults: python
	@$(VENV) $(DEVELOPMENT)
	@exec $(RUN) faults/run.py $(FAULTS)

docs: python
	@$(VENV)
	@exec $(RUN) manage.py settings_reference

lock: python
	@$(VENV) $(DEVELOPMENT)
	@exec $(RUN) tools/lock.py

python:
	@command -v $(PYTHON) >/dev/null || { echo "Parley needs Python 3.11 or later, and there is no $(PYTHON) here; on Debian and Ubuntu: apt-get install python3 python3-venv" >&2; exit 1; }
