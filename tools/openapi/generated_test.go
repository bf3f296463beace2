package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
)

// TestGeneratedDocument checks the document in the tree: it is valid OpenAPI
// 3.1, and each parameter of a path is declared and the other way round.
func TestGeneratedDocument(t *testing.T) {
	text, err := os.ReadFile("../../api/openapi/openapi.json")
	if errors.Is(err, fs.ErrNotExist) {
		t.Fatal("api/openapi/openapi.json is missing: run `make generate`")
	}
	if err != nil {
		t.Fatal(err)
	}
	checkDocument(t, text)
	var doc object
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	if len(child(doc, "paths")) == 0 {
		t.Fatal("no routes")
	}
	for path, item := range child(doc, "paths") {
		for verb, operation := range item.(object) {
			operation := operation.(object)
			if operation["summary"] == nil {
				t.Errorf("%s %s has no summary", verb, path)
			}
			declared := 0
			for _, entry := range list(operation, "parameters") {
				entry := entry.(object)
				if entry["in"] != "path" {
					continue
				}
				declared++
				if !strings.Contains(path, "{"+entry["name"].(string)+"}") {
					t.Errorf("%s %s declares %s, which its path lacks", verb, path, entry["name"])
				}
			}
			if declared != strings.Count(path, "{") {
				t.Errorf("%s %s declares %d parameters", verb, path, declared)
			}
		}
	}
}
