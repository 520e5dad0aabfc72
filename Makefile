# Two commands: `make sample` shows the tool at work, `make check` runs every check and test. Both install what they
# need into .venv first; the second time they find it there.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

.PHONY: sample check browser oldest clean

sample: $(VENV)/installed
	$(BIN)/curate select pipelines/sample_pool.jsonl --fraction 0.05 --task-column topic --scope cluster \
		--out out/sample --force

check: $(VENV)/installed-dev browser
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/properdocs build --strict --quiet
	$(BIN)/python -m pytest

# The tests of the pages run in Chromium, and are skipped where there is none. In a container of CI we are root on Debian.
browser:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! command -v chromedriver >/dev/null; then \
		echo "installing chromium and chromium-driver, which the tests of the pages run in"; \
		apt-get update -qq && apt-get install -qqy --no-install-recommends chromium chromium-driver >/dev/null \
			|| echo "not installed: these tests will be skipped"; \
	fi

# The tests under the oldest versions that pyproject.toml allows, in an environment of its own: without model2vec, which
# wants newer ones than all others do, and without pages and wheel, which are made by the newest.
oldest:
	$(PYTHON) -m venv out/oldest
	out/oldest/bin/python -m pip -q install uv
	VIRTUAL_ENV=out/oldest out/oldest/bin/uv pip install -q --resolution lowest-direct -c $(CONSTRAINTS) \
		-e ".[offline,language,ray,sentencepiece]"
	VIRTUAL_ENV=out/oldest out/oldest/bin/uv pip install -q pytest pytest-randomly hypothesis
	VIRTUAL_ENV=out/oldest out/oldest/bin/uv pip install -q --no-deps "mistral-common>=1.13"
	out/oldest/bin/python -m pytest --ignore=tests/test_docs.py --ignore=tests/test_wheel.py

clean:
	rm -rf $(VENV) out

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install -c $(CONSTRAINTS) -e ".[offline]"
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) install -c $(CONSTRAINTS) -e ".[offline,dev]"
	$(PIP) install --no-deps "mistral-common>=1.13"  # its SentencePiece and tekken files alone; it would pin numpy down
	touch $@
