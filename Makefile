# Every target sets up what it needs. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FILM := examples/film/two_friends
FEATURES := cli,testing,aws-rekognition,aws-bedrock,aws-s3,aws-sqs,aws-train,aws-a2i,local-train,sagemaker,onnx,http

# The wheel that is tested is not optimized, which takes many minutes.
QUICK := MATURIN_PEP517_ARGS=--profile=dev

.PHONY: help demo test test-rust test-python lint fmt docs bench nightly clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

demo: ## The main job on the project's own film
	cargo run --release --locked --features cli -- build $(FILM).mp4 --cast examples/film/cast.toml --out out/two-friends

test: test-rust test-python ## Every test, Rust and Python

test-rust: $(VENV)/moto-5.2.5 $(VENV)/onnxruntime $(VENV)/training ## Rust tests
	ORT_DYLIB_PATH=$$(cat $(VENV)/onnxruntime) PICCHU_PYTHON=$$(cat $(VENV)/training) cargo test --locked --workspace --exclude picchu-python --features $(FEATURES)

test-python: $(VENV)/ready $(VENV)/training $(VENV)/label-studio-sdk-2.1.2 ## The wheel, built and tested in its own environment
	$(QUICK) $(BIN)/pip install --quiet ".[test,trainers,ray,deploy]"
	$(BIN)/ruff check python examples
	$(BIN)/ruff format --check python examples
	$(BIN)/mypy --strict python/picchu python/tests/typing_check.py
	$(BIN)/python -m mypy.stubtest picchu._picchu
	$(BIN)/python -m pytest -q python/tests

$(VENV)/ready:
	$(PYTHON) -m venv $(VENV)
	touch $@

# A service that others wrote, for the tests of datasets on S3. They say so where it is missing.
$(VENV)/moto-5.2.5: $(VENV)/ready
	-$(BIN)/pip install --quiet "moto[s3,sqs,server]>=5.2.5"
	touch $@

# Label Studio's own checks, for the tests of review there: without the half of its needs that only other parts of it use
# and that ask for an older NumPy. They say so where it is missing.
$(VENV)/label-studio-sdk-2.1.2: $(VENV)/ready
	-$(BIN)/pip install --quiet --no-deps label-studio-sdk==2.1.2
	-$(BIN)/pip install --quiet appdirs "jsf>=0.11,<0.12" lxml pyjwt requests xmljson
	touch $@

# The folder of the ONNX Runtime library that the tests of models run with; empty where it cannot be had.
$(VENV)/onnxruntime: $(VENV)/ready
	-$(BIN)/pip install --quiet "onnxruntime>=1.22"
	$(BIN)/python -c 'from importlib.util import find_spec as f; p = f("onnxruntime"); print(p.origin[:-11] + "capi" if p else "")' > $@

# The Python that the tests of training run with; empty where its packages cannot be had.
$(VENV)/training: $(VENV)/ready
	-$(BIN)/pip install --quiet -r python/picchu/training/requirements.txt
	$(BIN)/python -c 'import sys; from importlib.util import find_spec as f; print(sys.executable if f("torch") and f("diffusers") else "")' > $@

lint: ## Format and lints, warnings denied
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets --features $(FEATURES) -- -D warnings

fmt: ## Put everything in order
	cargo fmt --all
	$(BIN)/ruff format python examples

docs: ## The API's pages
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --features $(FEATURES)

bench: ## Benchmarks of the dedupe core
	cargo bench --locked --bench dedupe

nightly: ## What is slow or rarely installed: other processors, Miri, fuzzing
	tests/nightly.sh

clean: ## Remove everything that was built
	cargo clean
	rm -rf $(VENV) out
