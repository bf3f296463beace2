GO ?= go
TOOL := $(GO) tool -modfile=tools/go.mod
GENERATED := .build/gen

.DEFAULT_GOAL := help

.PHONY: generate
generate: stage-generated ## Generate api/ from proto/
	@rm -rf api && mv $(GENERATED)/api api

.PHONY: stage-generated
stage-generated:
	@rm -rf $(GENERATED)
	@$(GO) -C tools run ./protodeps ../.protodeps
	@$(TOOL) buf generate -o $(GENERATED)
	@$(TOOL) buf build proto -o $(GENERATED)/image.binpb
	@$(GO) -C tools run ./openapi ../$(GENERATED)/image.binpb ../$(GENERATED)/openapi ../$(GENERATED)/api/openapi

.PHONY: check-generated
check-generated: stage-generated ## Fail unless api/ is what proto/ generates
	@diff -r api $(GENERATED)/api || { echo 'api/ is stale: run `make generate`'; exit 1; }
