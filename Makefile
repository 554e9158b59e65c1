# What one does here; `make` alone lists it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo dist clients test bench lint docs fuzz soak soak-stream

comma := ,

# One target folder for all checkouts of this user: the dependencies are compiled once.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/taghouse/target
export PATH := $(PATH):$(HOME)/.cargo/bin

# Always the whole workspace: building one package alone gives its dependencies other features, and compiles them again.
DATA ?= demo-data
ARGS ?=
ONLY ?=
SECONDS ?= 60
PROFILE ?= release
CASES ?= 1000000
SEED ?= 1
# Sources that read topics of Kafka are built and tested, unless TAGHOUSE_SKIP names kafka.
KAFKA := $(if $(findstring $(comma)kafka$(comma),$(comma)$(TAGHOUSE_SKIP)$(comma)),,--features taghouse/kafka)

help: ## this list
	@echo "make TARGET [NAME=value]"
	@sed -n 's/^\([a-z-]*\):.*## /  \1\t/p' $(MAKEFILE_LIST) | expand -t 14

demo: ## build, then generate, tag and serve a shop. ARGS="--exit --users 1000 --events 50000 --seed 2", DATA=folder
	@scripts/demo.sh "$(DATA)" $(ARGS)

dist: ## make dist/taghouse-VERSION-TARGET.tar.gz. PROFILE=demo for a quick try
	@scripts/setup.sh build
	@PROFILE="$(PROFILE)" scripts/dist.sh

clients: ## make the packages of the clients for Python and TypeScript in dist/, checked by their type checkers
	@scripts/setup.sh clients
	python=$$(scripts/clients.sh python); typescript=$$(scripts/clients.sh typescript); \
	mkdir -p dist; cp "$$python"/*.whl "$$python"/*.tar.gz "$$typescript"/*.tgz dist/

test: ## set up and run all tests. ARGS="a_test_by_name"; SEED=2 for other random cases (SEED=random: new ones)
	@scripts/setup.sh test
	python=$$(scripts/peers.sh); sdks=; [[ ,$${TAGHOUSE_SKIP:-}, == *,sdks,* ]] || sdks=$$(scripts/sdks.sh); \
	client() { [[ ,$${TAGHOUSE_SKIP:-}, == *,clients,* ]] || scripts/clients.sh "$$1"; }; \
	python_client=$$(client python); typescript_client=$$(client typescript); \
	kafka=; [ -z "$(KAFKA)" ] || kafka=$$(scripts/peers.sh tests/kafka/requirements.txt); \
	TAGHOUSE_PEERS_PYTHON="$$python" TAGHOUSE_SDKS="$$sdks" TAGHOUSE_PYTHON_CLIENT="$$python_client" TAGHOUSE_TYPESCRIPT_CLIENT="$$typescript_client" \
	TAGHOUSE_KAFKA_PYTHON="$$kafka" PROPTEST_RNG_SEED=$(SEED) cargo test --workspace $(KAFKA) $(ARGS)

lint: ## check the format and all of clippy's warnings
	@scripts/setup.sh lint
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --workspace --all-targets $(KAFKA) -- -D warnings

docs: ## write the generated pages of the book in docs/, examples/taghouse.toml, and what its examples print; look at the difference before you commit it
	@scripts/setup.sh build
	UPDATE_DOCS=1 cargo test --workspace $(KAFKA) --test book $(ARGS)
	UPDATE_DOCS=1 cargo test --workspace $(KAFKA) --bin taghouse -- manual example_of_the_repository

bench: ## compare with other engines, write bench/REPORT.md. ONLY=crowd for one group, ARGS="--row nested" for one of its rows; PROFILE=demo where a release takes too long to build
	@scripts/setup.sh bench
	cargo build --profile "$(PROFILE)" --workspace $(KAFKA)
	python=$$(scripts/peers.sh bench/requirements.txt) && PROFILE="$(PROFILE)" "$$python" bench/run.py $(if $(ONLY),--only "$(ONLY)") $(ARGS)

fuzz: ## run every decoder's fuzz target. SECONDS=60 each, ONLY="bundle segment" for some
	@scripts/setup.sh build
	scripts/fuzz.sh $(SECONDS) $(ONLY)

soak: ## random histories of the index against a naive twin. CASES=1000000 questions, SEED=1
	@scripts/setup.sh build
	cargo run --release -p taghouse-soak -- --cases $(CASES) --seed $(SEED) $(ARGS)

soak-stream: CASES = 100
soak-stream: ## random histories of live tags against productions. CASES=100 histories, SEED=1
	@scripts/setup.sh build
	TAGHOUSE_STREAM_CASES=$(CASES) TAGHOUSE_STREAM_SEED=$(SEED) \
	cargo test --workspace $(KAFKA) --test equal_to_batch -- --nocapture
