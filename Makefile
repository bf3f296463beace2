# Everything a person or a machine does with this repository. `make` lists it.
# Tools are pinned: in tools/go.mod those that generate code, below those that
# check it. They are kept in .bin, which git ignores.

GO ?= go
GOLANGCI_LINT_VERSION := v2.15.0
GOVULNCHECK_VERSION := v1.9.0

GOLANGCI_LINT := $(CURDIR)/.bin/golangci-lint-$(GOLANGCI_LINT_VERSION)
GOVULNCHECK := $(CURDIR)/.bin/govulncheck-$(GOVULNCHECK_VERSION)
TOOL := $(GO) tool -modfile=tools/go.mod
GENERATED := .build/gen

# A checkout that another user owns makes git, and with it `go build`, refuse to
# stamp versions. Only `make build` needs the stamp.
export GOFLAGS := $(GOFLAGS) -buildvcs=false

.DEFAULT_GOAL := help

##@ Use

.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} \
		/^##@ / {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: ## Run a whole CDN on this machine (flags: ARGS="--http 127.0.0.1:8081")
	@$(GO) run ./controlplane/cmd/breakwaterd dev $(ARGS)

.PHONY: build
build: ## Build the programs into bin/
	@mkdir -p bin
	$(GO) build -trimpath -buildvcs=auto -o bin/ $(patsubst %,./%/...,$(wildcard controlplane/cmd sdk/cmd))

##@ Check

.PHONY: test
test: ## Run all tests with the race detector (flags: ARGS="-run TestX")
	@.ci/setup
	@.ci/test $(ARGS)

.PHONY: lint
lint: $(GOLANGCI_LINT) .protodeps/stamp ## Run the linters and check that modules are tidy
	$(GOLANGCI_LINT) run ./...
	cd tools && $(GOLANGCI_LINT) run --config ../.golangci.yml ./...
	$(TOOL) buf lint
	$(TOOL) buf format --diff --exit-code proto
	$(GO) mod tidy -diff
	$(GO) -C tools mod tidy -diff

.PHONY: check-generated
check-generated: stage-generated ## Fail unless api/ is what proto/ generates
	@diff -r api $(GENERATED)/api || { echo 'api/ is stale: run make generate' >&2; exit 1; }

.PHONY: breaking
breaking: .protodeps/stamp ## Compare the API with an earlier one (BASE=main)
	@rm -rf .build/base && mkdir -p .build/base
	@git archive $(or $(BASE),main) proto buf.yaml | tar -x -C .build/base
	@cp -r .protodeps .build/base/
	@cd .build/base && $(GO) tool -modfile=$(CURDIR)/tools/go.mod buf build proto -o base.binpb
	$(TOOL) buf breaking proto --against .build/base/base.binpb

.PHONY: vuln
vuln: $(GOVULNCHECK) ## Look for known vulnerabilities in called code
	@.ci/vuln $(GOVULNCHECK)

.PHONY: spec
spec: ## Check the specification of the rollout with spin, for about a minute
	@docs/spec/check

##@ Measure

.PHONY: bench
bench: ## Measure the API and the way to the edge beside raw etcd and gRPC
	@$(GO) test -count 1 -timeout 30m -run '^$$' -bench '^BenchmarkControlPlane$$' -benchtime 1x $(ARGS) \
		./controlplane/internal/server

.PHONY: microbench
microbench: ## Run the packages' own benchmarks (one: PKG=./controlplane/internal/compile)
	@$(GO) test -run '^$$' -bench '$(or $(BENCH),.)' -benchmem $(or $(PKG),./...)

.PHONY: fail-small
fail-small: ## Print the figures of docs/fail-small.md (ROUNDS=10)
	@BREAKWATER_FIGURES=$(or $(ROUNDS),10) $(GO) test -count 1 -timeout 60m -v -p 1 -run '^TestFigures$$' \
		./controlplane/internal/incidents ./controlplane/internal/chaos

.PHONY: fuzz
fuzz: ## Run every fuzz target for a while (FUZZTIME=30s)
	@.ci/fuzz $(or $(FUZZTIME),30s)

.PHONY: soak
soak: ## Run the tests in full size (model tests: RAPID_CHECKS=100000)
	@BREAKWATER_SOAK=1 RAPID_CHECKS=$(or $(RAPID_CHECKS),100000) \
		$(GO) test -count 1 -timeout $(or $(TIMEOUT),6h) $(or $(PKG),./...)

.PHONY: chaos
chaos: ## Hurt a real installation with random faults (DURATION=10m, SEED=n, FAULT=text)
	@command -v strace >/dev/null || apt-get install -y -qq --no-install-recommends strace >/dev/null || \
		echo 'chaos: no disk will be slow without strace, which could not be installed' >&2
	@BREAKWATER_CHAOS=$(or $(DURATION),10m) BREAKWATER_CHAOS_SEED=$(SEED) BREAKWATER_CHAOS_FAULT='$(FAULT)' \
		$(GO) test -count 1 -timeout 24h -v -run '^TestChaos$$' ./controlplane/internal/chaos

##@ Change

.PHONY: generate
generate: stage-generated ## Generate api/ from proto/
	@rm -rf api && mv $(GENERATED)/api api

# The result is complete before it takes the place of api/, so a failure leaves
# api/ alone, and a file that is generated no longer disappears.
.PHONY: stage-generated
stage-generated: .protodeps/stamp
	@rm -rf $(GENERATED)
	@$(TOOL) buf generate -o $(GENERATED)
	@$(TOOL) buf build proto -o $(GENERATED)/image.binpb
	@$(GO) -C tools run ./openapi ../$(GENERATED)/image.binpb ../$(GENERATED)/openapi ../$(GENERATED)/api/openapi

.protodeps/stamp: tools/go.mod $(wildcard tools/protodeps/*.go)
	@$(GO) -C tools run ./protodeps ../.protodeps
	@touch $@

.PHONY: fmt
fmt: $(GOLANGCI_LINT) ## Format Go and proto files
	@$(GOLANGCI_LINT) fmt ./...
	@cd tools && $(GOLANGCI_LINT) fmt --config ../.golangci.yml ./...
	@$(TOOL) buf format -w proto

.PHONY: fix
fix: fmt ## Format, and let the linters repair what they can
	@$(GOLANGCI_LINT) run --fix ./... || true
	@cd tools && $(GOLANGCI_LINT) run --fix --config ../.golangci.yml ./... || true

.PHONY: clean
clean: ## Remove what was built; data directories are left alone
	@rm -rf bin dist .bin .build .protodeps

$(GOLANGCI_LINT):
	@echo 'installing golangci-lint $(GOLANGCI_LINT_VERSION), which takes some minutes once'
	@mkdir -p .bin/install
	@GOBIN=$(CURDIR)/.bin/install $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	@mv .bin/install/golangci-lint $@

$(GOVULNCHECK):
	@mkdir -p .bin/install
	@GOBIN=$(CURDIR)/.bin/install $(GO) install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)
	@mv .bin/install/govulncheck $@
