# Everything starts here: "make run" opens the program, "make test" checks it. Both set up what they need first.

.DEFAULT_GOAL := help
.PHONY: help run test test-slow benchmark lint format messages lock clean environment

bin := .venv/bin
pytest := sh .ci/test
# Two workers: tests share the machine's cores with the threads of the runs that they start.
parallel := -n 2 --dist loadfile --benchmark-disable

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

run: environment ## open the window, or a file in it: make run ARGS="experiment.json"
	@if [ "$$(uname)" = Linux ] && [ -z "$${DISPLAY:-}$${WAYLAND_DISPLAY:-}" ]; then \
		echo "There is no display for a window: rendering the figures of the first lesson into exports/ instead."; \
		$(bin)/layerscope lesson vanishing-gradients --out exports; \
	else \
		$(bin)/layerscope $(ARGS); \
	fi

test: lint ## style, types, and all tests but the slow ones
	@$(pytest) $(parallel) $(ARGS)

test-slow: environment ## the tests that take long
	@$(pytest) $(parallel) -m "slow and not benchmark" --timeout 900 $(ARGS)
	@HYPOTHESIS_PROFILE=searching $(pytest) $(parallel) -k "test_any or fields or experiment" --timeout 900 $(ARGS)

benchmark: environment ## how fast it is on this machine, beside PyTorch, Keras and others (set up in .venv-peers)
	@sh .ci/peers
	@$(bin)/layerscope benchmark --peers .venv-peers/bin/python --out exports/benchmark.json $(WORKLOADS)
	@LAYERSCOPE_TORCH_PYTHON=$(CURDIR)/.venv-peers/bin/python $(pytest) -m benchmark --timeout 900 $(ARGS)

lint: environment ## style and types only
	@mkdir -p .types/layerscope
	@for name in core desktop sample_data; do ln -sfn "../../$$name" ".types/layerscope/$$name"; done
	@for name in __init__.py __main__.py; do ln -sfn "../../desktop/entry/$$name" ".types/layerscope/$$name"; done
	@$(bin)/ruff check .
	@$(bin)/ruff format --check .
	@$(bin)/mypy

format: environment ## put the source into shape
	@$(bin)/ruff check --fix-only .
	@$(bin)/ruff format .

# A new language starts with: .venv/bin/pybabel init -D layerscope -i core/locale/layerscope.pot -d core/locale -l NAME
messages: environment ## collect the texts to translate, and renew the translations
	@$(bin)/python .ci/messages
	@if ls core/locale/*/LC_MESSAGES/layerscope.po >/dev/null 2>&1; then \
		$(bin)/pybabel --quiet update --domain=layerscope --no-wrap --no-fuzzy-matching --ignore-pot-creation-date \
			--input-file=core/locale/layerscope.pot --output-dir=core/locale && \
		$(bin)/pybabel compile --domain=layerscope --statistics --directory=core/locale; \
	fi

# The one command that needs uv. It does not read pip's settings, so a mirror given to pip is handed on.
lock: environment ## renew requirements.lock
	@$(bin)/python -m pip install --quiet --upgrade uv
	@index="$$($(bin)/python -m pip config get global.index-url 2>/dev/null || true)"; \
		UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-$$index}}" \
		$(bin)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --group dev \
		--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
		--output-file requirements.lock pyproject.toml

clean: ## remove everything that these commands made, but not exports/
	@rm -rf .venv .venv-peers .types build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks *.egg-info
	@find core desktop sample_data tests -name __pycache__ -prune -exec rm -rf {} +

environment:
	@sh .ci/environment
