# Every target is a few commands that you can also type by hand. `make help` lists them.
# Tools are installed or built by scripts/tools, pinned, into a cache outside the work tree.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

IMG ?= ecs-password-reset:0.1.0
# Put in front of a command that needs the tools: $(call with-tools,kubectl).
with-tools = tools=$$(scripts/tools env $(1)) && eval "$$tools" &&
# Runs tests. The control planes that they leave for each other end with it, also when it is interrupted.
run-tests = trap scripts/end-planes EXIT && "$$NEXTEST" nextest run --locked
# Tools and workspace are built beside each other: a cold start costs the longer of the two. --all-targets, because
# without the tests' features the shared dependencies would be compiled a second time for `make test`.
prepare = scripts/tools $(1) & tools=$$!; cargo build --locked --workspace --all-targets; wait $$tools

##@ Everyday

.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: export TOOLS_FOR := demo
demo: ## Show resets on a real API server with a simulated ECS; ends by itself
	@$(call prepare,control-plane kubectl)
	@$(call with-tools,control-plane kubectl) scripts/demo

.PHONY: demo-up
demo-up: export TOOLS_FOR := demo
demo-up: ## Run the demo and leave everything running
	@$(call prepare,control-plane kubectl)
	@$(call with-tools,control-plane kubectl) scripts/demo --up

.PHONY: demo-down
demo-down: ## Stop what demo-up left running, and remove its data
	@scripts/demo --down

.PHONY: test
test: ## Run all tests, also those on a real API server (NEXTEST_ARGS narrows the run)
	@$(call prepare,)
	@cargo test --locked --workspace --doc --quiet
	@$(call with-tools,) $(run-tests) --workspace $(NEXTEST_ARGS)

.PHONY: check
check: lint lint-packaging tree deny manifests-check reference-check mutants-check ## What CI checks before the tests: format, clippy, linters, dependency tree, licences, generated files

##@ Packaging: what users install (docs/INSTALL.md says what was run)

PLATFORMS ?= linux/amd64
CONTAINER_TOOL ?= docker

.PHONY: image
image: ## Build the static binary and pack the image into dist/image, without an engine (PLATFORMS: a list with commas)
	@$(call with-tools,ca-bundle) PLATFORMS=$(PLATFORMS) scripts/make-image dist/image

.PHONY: image-check
image-check: ## Push the image to a local registry, pull it by digest, run it until a reset is InEffect (as root)
	@$(call prepare,control-plane kubectl registry nextest ca-bundle)
	@$(call with-tools,control-plane kubectl registry nextest ca-bundle) PLATFORMS=$(PLATFORMS) scripts/image-check

.PHONY: image-repeat
image-repeat: ## Build the image from two clean clones and compare them, byte by byte
	@$(call with-tools,ca-bundle) PLATFORMS=$(PLATFORMS) scripts/image-repeat

.PHONY: dockerfile-check
dockerfile-check: ## Build the Dockerfile with Debian's buildah and compare it with the image of `make image` (as root)
	@scripts/dockerfile-check

.PHONY: docker-build
docker-build: image ## Build the image with an engine (CONTAINER_TOOL, IMG), from the binary of `make image`
	$(CONTAINER_TOOL) build --tag $(IMG) --file Dockerfile dist/image/context

.PHONY: docker-push
docker-push: ## Push the image IMG with an engine
	$(CONTAINER_TOOL) push $(IMG)

.PHONY: docker-buildx
docker-buildx: image ## Build and push the image for PLATFORMS with docker buildx
	$(CONTAINER_TOOL) buildx build --push --platform=$(PLATFORMS) --tag $(IMG) --file Dockerfile dist/image/context

.PHONY: dist
dist: ## Write all files of a release into dist/VERSION (IMAGE_REPOSITORY: where the image will be pushed)
	@$(call with-tools,ca-bundle helm kubectl lint) scripts/dist "$(VERSION)"

.PHONY: chart-test
chart-test: ## Install, upgrade, roll back and remove the chart with helm during a run, on a real API server
	@$(call with-tools,control-plane kubectl helm registry nextest) "$$NEXTEST" nextest run --locked \
	  --test manifests --run-ignored all --success-output final --no-fail-fast -E 'test(/^(chart|helm)::/)'

.PHONY: monitoring-rules
monitoring-rules: ## Check and unit-test the alerts with promtool
	@$(call with-tools,prometheus lint) scripts/monitoring-rules target/monitoring

.PHONY: monitoring-test
monitoring-test: monitoring-rules ## Run the dashboard's queries and the alerts in a real Prometheus, on the demo's controllers
	@$(call prepare,control-plane kubectl prometheus)
	@$(call with-tools,control-plane kubectl prometheus) trap 'scripts/demo --down' EXIT; scripts/demo --up >/dev/null; \
	  tests/monitoring/check target/monitoring/rules.yaml

##@ Evidence: tests of the protocol's promises (docs/RELIABILITY.md has the figures)

# What the model, the simulation and the chaos tests are built with.
PROFILE ?= release

.PHONY: model
model: ## Search all states that the decisions can reach
	cargo test --locked --profile $(PROFILE) --test model -- --include-ignored --nocapture --test-threads=1

.PHONY: sim
sim: ## Simulate the whole controller under faults (SIM=whole: every run; SEEDS=100000: more random runs; SEED=7: one again)
	SIM=$${SIM:-ci} cargo test --locked --profile $(PROFILE) --test sim -- --include-ignored --nocapture

.PHONY: chaos
chaos: ## Kill and stop the release binary at every point of its runs, on a real API server
	@$(call with-tools,control-plane kubectl nextest) "$$NEXTEST" nextest run --locked \
	  --cargo-profile $(PROFILE) --features failpoints --test chaos --success-output immediate --no-fail-fast

.PHONY: chaos-few
chaos-few: ## Run chaos at three points of each scenario, with fewer instances, in the profile of the tests
	@$(call with-tools,control-plane kubectl nextest) CHAOS_POINTS=$${CHAOS_POINTS:-3} \
	  CHAOS_INSTANCES=$${CHAOS_INSTANCES:-100} "$$NEXTEST" nextest run --locked --features failpoints --test chaos \
	  --no-fail-fast -E 'test(/^(points|many)::/)'

.PHONY: security
security: ## Try to borrow the controller's rights in every known way, on a real API server
	@$(call with-tools,control-plane kubectl nextest) $(run-tests) \
	  --test security --success-output final --no-fail-fast

# The dev profile checks its arithmetic, which a release does not.
.PHONY: fuzz
fuzz: ## Try odd inputs on everything that is read from outside (PROPTEST_CASES: how many for each target, 30,000)
	PROPTEST_CASES=$${PROPTEST_CASES:-30000} cargo test --locked --test fuzz -- --nocapture

.PHONY: windows
windows: ## Compare when maintenance windows open with croniter and Python's zoneinfo (WINDOWS: how many, 10,000)
	@$(call with-tools,croniter) mkdir -p target && "$$CRONITER_PYTHON" tests/windows/oracle.py $${WINDOWS:-10000} >target/windows.tsv
	WINDOWS_ORACLE=$(CURDIR)/target/windows.tsv cargo test --locked --lib next_opening_is -- --ignored --nocapture

.PHONY: bench
bench: ## Measure the release binary on a real control plane (ARGS="B3 B8", --vs, --write-baseline; BENCH_INSTANCES, BENCH_SETTLED)
	cargo build --locked --release --bin ecs-password-reset
	@$(call with-tools,control-plane kubectl $(if $(findstring --vs,$(ARGS)),sdk)) CONTROLLER=$(CURDIR)/target/release/ecs-password-reset \
	  cargo test --locked --quiet --profile sim --test bench -- $(ARGS)

.PHONY: mutants-check
mutants-check: ## Check that every mutant can still be applied
	scripts/mutants --check

.PHONY: mutants
mutants: ## Break the protocol on purpose, one way at a time; each must be noticed (ARGS chooses by name)
	scripts/mutants $(ARGS)

##@ GitOps and documentation

.PHONY: gitops
gitops: ## Apply deploy/ with Argo CD's engine and Flux's kustomize-controller, on a real API server; builds both
	@$(call prepare,argocd flux control-plane kubectl nextest)
	@$(call with-tools,argocd flux control-plane kubectl nextest) "$$NEXTEST" nextest run --locked \
	  --test gitops --run-ignored all --test-threads 2 --no-fail-fast

.PHONY: gitops-few
gitops-few: ## Run only the health checks and actions of deploy/argocd, in Argo CD's Lua
	@$(call with-tools,argocd) "$$ARGOCD_ENGINE" fixtures deploy/argocd/resource_customizations

.PHONY: argocd-fixtures
argocd-fixtures: ## Write the test data of deploy/argocd again, from objects of a real API server
	@$(call with-tools,control-plane kubectl nextest) ARGOCD_FIXTURES=write "$$NEXTEST" nextest run --locked \
	  --test gitops --run-ignored all --success-output immediate -E 'test(=fixtures::dumps_are_written_when_asked_for)'

.PHONY: docs
docs: reference-check ## Write the documentation site to target/site; a broken link fails
	@$(call with-tools,mkdocs) NO_MKDOCS_2_WARNING=1 "$$MKDOCS" build --strict 2>&1 | { grep -v "^INFO" || true; }
	@! grep -rEl '<(script|link|img)[^>]* (src|href)="(https?:)?//[^"]*\.(js|css|woff2?|png|svg)' target/site --include='*.html' || \
	{ echo 'the site loads something from elsewhere' >&2; exit 1; }
	@echo 'target/site/index.html'

##@ Development

.PHONY: fmt
fmt: ## Format the Rust code
	cargo fmt --all

.PHONY: vet
vet: ## Run clippy, warnings as errors
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --features failpoints --bins --test chaos -- -D warnings

.PHONY: lint
lint: ## Check the format and run clippy
	cargo fmt --all --check
	@$(MAKE) vet

.PHONY: tree
tree: ## Check that no unwanted crate is compiled
	scripts/check-tree

.PHONY: manifests
manifests: ## Write crds/ from the Rust types, and the chart's copies
	cargo run --locked --quiet --bin crdgen -- crds
	scripts/chart-files deploy/chart/files

.PHONY: generate
generate: manifests reference ## Write all generated files: the CRDs, the reference pages, argocd-cm

.PHONY: manifests-check
manifests-check: ## Check that crds/ matches the Rust types, and that the chart's copies are current
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && \
	cargo run --locked --quiet --bin crdgen -- "$$fresh" && \
	diff --recursive --unified --exclude kustomization.yaml crds "$$fresh" || \
	{ echo 'crds/ is not what the Rust types say: run `make manifests` and commit the result' >&2; exit 1; }
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && scripts/chart-files "$$fresh" && \
	diff --recursive --unified "$$fresh" deploy/chart/files || \
	{ echo 'deploy/chart/files/ is old: run `make manifests` and commit the result' >&2; exit 1; }

.PHONY: reference
reference: ## Write docs/reference and deploy/argocd/argocd-cm.yaml from their sources
	REFERENCE=write cargo test --locked --quiet --test reference -- --include-ignored

.PHONY: reference-check
reference-check: ## Check that docs/reference and deploy/argocd/argocd-cm.yaml match their sources
	cargo test --locked --quiet --test reference -- --include-ignored

.PHONY: deny
deny: ## Check bans, licences and sources of all crates, for every platform
	@cargo fetch --locked --quiet
	@$(call with-tools,deny) "$$CARGO_DENY" --offline --locked --log-level error check bans licenses sources

.PHONY: lint-packaging
lint-packaging: ## Lint scripts, YAML, chart and manifests: shellcheck, yamllint, hadolint, helm, kubernetes-validate, kubeconform
	@$(call with-tools,helm kubectl kubeconform actionlint flux-crds lint) scripts/lint-packaging

.PHONY: clean
clean: ## Remove build output; the cache of tools stays
	cargo clean
	rm -rf dist

##@ Build and run

.PHONY: build
build: ## Build the release binary
	cargo build --locked --release

.PHONY: run
run: ARGS ?= --log-format=text
run: ## Run the controller here against the current kubeconfig (ARGS="--help" lists its settings)
	@cargo build --locked --workspace --all-targets # As every target builds: another set of features would be built beside it.
	$(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)/debug/ecs-password-reset controller $(ARGS)

##@ Cluster of the current kubeconfig (any kubectl; KUBECTL=... chooses one)

KUBECTL ?= kubectl

.PHONY: install
install: ## Install the CRDs
	$(KUBECTL) apply -k crds

.PHONY: uninstall
uninstall: ## DANGER: remove the CRDs, and with them every object, every record and all memory
	$(KUBECTL) delete -k crds --ignore-not-found

.PHONY: deploy
deploy: build-installer ## Install everything, with the image IMG
	$(KUBECTL) apply -f dist/install.yaml

.PHONY: undeploy
undeploy: ## Remove the controller, its rights and its namespace with all Secrets and records; CRDs and objects stay
	$(KUBECTL) delete --ignore-not-found $(patsubst %,-f %,$(filter-out %/kustomization.yaml,$(wildcard deploy/base/*.yaml)))

.PHONY: build-installer
build-installer: ## Write dist/install.yaml, one file that installs everything
	mkdir -p dist
	@trap 'rm -f dist/install.yaml.new' EXIT; set -x; \
	$(KUBECTL) kustomize deploy/base | sed 's|image: ecs-password-reset:.*|image: $(IMG)|' > dist/install.yaml.new; \
	mv dist/install.yaml.new dist/install.yaml
