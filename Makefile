# `make demo` and `make test` are all a newcomer needs: each makes .venv, installs once, and runs.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo reproduce-demo test slow-test lint docs clean

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed; try make PYTHON=python3.11"'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[demo,explain,query]'
	touch $@

.venv/.installed-test: .venv/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[demo,docs,explain,query,test]'
	touch $@

demo: .venv/.installed
	$(BIN)/halfiqa demo

reproduce-demo: .venv/.installed
	$(BIN)/python jobs/demo_data.py --config configs/made_up/koniq10k.yaml
	$(BIN)/python jobs/demo_data.py --config configs/made_up/koniq10k.yaml --config configs/made_up/spaq.yaml
	@echo "== an untrained TRIQ over the test photos: the control of the localisation table"
	$(BIN)/python jobs/prepare.py --config configs/made_up/koniq10k.yaml
	$(BIN)/python jobs/train.py --config configs/made_up/koniq10k.yaml --train.run untrained --train.main.epochs 0
	$(BIN)/python jobs/rank.py --config configs/made_up/koniq10k.yaml --train.run untrained --rank.tables false \
	  --rank.zero false --rank.measure false --rank.splits '[test,test_same_photo]'
	$(BIN)/python jobs/reproduce.py --config configs/experiments/made_up.yaml

lint: .venv/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The pages as a site in site/; a link that leads nowhere is an error.
docs: .venv/.installed-test
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

test: lint docs
	$(BIN)/python -m pytest -n 2

slow-test: .venv/.installed-test
	$(BIN)/python -m pytest -m slow

clean:
	rm -rf .venv results site .cache
