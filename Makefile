# Two commands on a fresh machine: `make solve` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: solve test test-slow test-adapters adapter-tools audit-tools page-tools check lint types layers bench options comparison wear validate measured-event reliability on-the-wire twin experiment models docs site clean

solve: $(READY)
	$(BIN)/ebplan solve examples/under_frequency.json

# the everyday run: all but what is slow, and devices, which have servers of their own; both below
DEVICES := --ignore=tests/adapters --ignore=tests/controller --ignore=tests/dispatch/test_killed_controllers.py
test: $(READY) audit-tools page-tools
	$(BIN)/pytest -m "not slow" $(DEVICES)

# whole campaigns, second verifiers, oracles, pages, tutorials
test-slow: $(READY) audit-tools page-tools
	$(BIN)/pytest -m slow $(DEVICES)

# adapters, and the controller on a whole site, against real servers on loopback; those that are not
# Python come from Debian
test-adapters: adapter-tools page-tools
	EBPLAN_NOTHING_LEFT_OUT=1 $(BIN)/pytest tests/adapters tests/dispatch tests/controller

adapter-tools: $(READY)
	command -v haproxy >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends haproxy; }
	command -v gcc >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev; }
	command -v ipmi_sim >/dev/null && test -e /usr/include/OpenIPMI/mcserv.h || { apt-get update -qq && apt-get install -y -qq --no-install-recommends openipmi libopenipmi-dev; }

# a browser that looks at pages; where it cannot be installed, its tests are left out and say so
page-tools:
	command -v chromium >/dev/null && command -v chromedriver >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium chromium-driver; } || echo 'chromium is missing: tests of pages are left out'

# an authority for time stamps; where it cannot be installed, its tests are left out and say so
audit-tools:
	command -v openssl >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends openssl; } || echo 'openssl is missing: tests of time stamps are left out'

check: lint types layers

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

layers: $(READY)
	$(BIN)/lint-imports

# an hour and a half on two cores, with nothing else running
bench: $(READY)
	$(BIN)/python -m benchmarks.planning --write docs/planning.md
	$(BIN)/python -m benchmarks.deadlines --write docs/deadlines.md --plot docs/figures/deadlines.png
	$(BIN)/python -m benchmarks.size --write docs/size.md
	$(BIN)/python -m benchmarks.closed_loop --write docs/closed_loop.md --plot docs/figures/closed_loop.png
	$(BIN)/python -m benchmarks --write docs/performance.md

# after an upgrade of HiGHS: what ebplan/solvers/highs.py sets, against its neighbours
options: $(READY)
	$(BIN)/python -m benchmarks --options

comparison: $(READY)
	$(BIN)/python -m benchmarks.comparison --write docs/comparison.md

wear: $(READY)
	$(BIN)/python -m benchmarks.wear_rainflow --write docs/wear.md
	$(BIN)/python -m benchmarks.synthetic_year

# fitted models on measurements they have not seen; a quarter of an hour. One thread: the matrices are
# small, and threads that wait for each other cost more than they do
validate: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.validation --write docs/validation.md --figures docs/figures

# a response that a GPU cluster really gave; left out where the data folder lacks it
measured-event: $(READY)
	$(BIN)/python -m benchmarks.measured_event --write docs/measured_event.md --plot docs/figures/measured_event.png

# promises carried out on the fluid plant, devices that misbehave, controllers that are killed; half an
# hour
reliability: adapter-tools
	$(BIN)/python -m benchmarks.reliability --write docs/reliability.md
	$(BIN)/python -m benchmarks.faults --write docs/reliability.md
	$(BIN)/python -m benchmarks.kills --write docs/reliability.md

# the controller against a simulated site in real time, with what goes wrong; an hour
on-the-wire: adapter-tools
	$(BIN)/python -m benchmarks.on_the_wire --write docs/reliability.md

# the request-level plant against the whitepaper, recorded traffic, speed; two minutes
twin: $(READY)
	$(BIN)/python -m benchmarks.twin --write docs/twin.md
	$(BIN)/python -m benchmarks.twin_traces --write docs/twin.md
	$(BIN)/python -m benchmarks.plants --write docs/twin.md

# the whitepaper's experiment, each mechanism by itself and together, simulated; a quarter of an hour.
# Finished cases are kept in the folder
experiment: $(READY)
	mkdir -p build
	$(BIN)/python -m ebplan twin experiment examples/twin/protocol_mechanisms.toml -o build/experiment
	$(BIN)/python -m benchmarks.experiment build/experiment --write docs/experiment.md --figures docs/figures

models: $(READY)
	$(BIN)/python -m ebplan.models.fit
	$(BIN)/python -m ebplan.models.sensitivity > docs/models/sensitivity.md.new
	mv docs/models/sensitivity.md.new docs/models/sensitivity.md

docs: $(READY)
	$(BIN)/python docs/refresh.py
	$(BIN)/python -m ebplan.services > docs/services.md.new
	mv docs/services.md.new docs/services.md

# the documentation as a site, in build/site; SERVE=8000 shows it on loopback
site: $(READY)
	$(BIN)/python -m docs.website $(if $(SERVE),--serve $(SERVE))

clean:
	rm -rf $(VENV)

$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ebplan needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[all,docs]' --group dev
	touch $@

# a day of the controller on the fluid plant, hours on the request-level one; half an hour or more
.PHONY: day
day: $(READY)
	$(BIN)/python -m benchmarks.day24 --write docs/endurance.md --plot docs/figures/endurance.png

# one mechanism takes over from another, without and with a battery; seconds
.PHONY: dips
dips: $(READY)
	$(BIN)/python -m benchmarks.dips --write docs/dips.md --plot docs/figures/dips.png

# the same problems in other tools, each in an environment of its own below build/: ten minutes, and as
# much for the environments the first time
.PHONY: bench-peers
bench-peers: $(READY)
	$(BIN)/python -m benchmarks.peers --write docs/peers.md --plot docs/figures/peers.png
