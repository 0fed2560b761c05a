# make repro: set up, run the pipeline, print the path of the report.   make test: set up, run the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# pip compiles on one processor, this on all of them; what is no Python 3 is left as it is.
PIP = $(BIN)/pip install --quiet --quiet --no-compile --constraint constraints.txt
COMPILE = @$(BIN)/python -W ignore -m compileall -qq -j 0 $(VENV)/lib >/dev/null || true
export PATH := $(abspath $(BIN)):$(PATH)

.PHONY: repro test faults classic check axe clean

repro: $(VENV)/installed
	dvc repro
	@echo "report: $(abspath site/index.html)"

test: $(VENV)/extras
	OMP_NUM_THREADS=1 pytest -n 3 --dist worksteal

# Every fault: minutes of kills, full disks, broken environments, other engines. Writes docs/faults.md.
faults: $(VENV)/extras
	OMP_NUM_THREADS=1 FAULTS_TABLE=docs/faults.md pytest tests/faults -m '' -n 2

# Hours of training on two cores: the published suite, then the site.
classic: $(VENV)/installed
	dvc repro suites/classic/dvc.yaml
	softbench pipeline
	dvc repro

check: $(VENV)/installed
	ruff check .
	ruff format --check .
	mypy
	lint-imports

# axe-core, for the accessibility check of the pages; where it is absent that test is skipped and says so. Needs npm.
axe: .axe/package/axe.min.js

.axe/package/axe.min.js:
	mkdir -p .axe
	npm pack --silent --pack-destination .axe axe-core@4.14.1
	tar -xzf .axe/axe-core-4.14.1.tgz -C .axe package/axe.min.js

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else f"softbench needs Python 3.11 to 3.13; this is {v[0]}.{v[1]}. Choose one: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[dev]'
	$(COMPILE)
	touch $@

# Other engines, environments and libraries that the tests compare with; where one cannot be had its tests are skipped and say so.
$(VENV)/extras: $(VENV)/installed
	$(PIP) --editable '.[envpool,imports,minatar,onnx,ray,sb3,video]' || echo "without all extras: some tests will be skipped"
	$(COMPILE)
	touch $@

clean:
	rm -rf $(VENV) site results/smoke results/theory results/.runs
