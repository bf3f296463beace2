package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/reflect/protoregistry"
)

func TestExport(t *testing.T) {
	folder := t.TempDir()
	stale := filepath.Join(folder, "google", "gone.proto")
	if err := os.MkdirAll(filepath.Dir(stale), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(stale, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := export(protoregistry.GlobalFiles, folder); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stale); err == nil {
		t.Error("a file of an earlier run is left")
	}
	for file, want := range map[string]string{
		"buf/validate/validate.proto":      "message FieldRules",
		"google/api/annotations.proto":     "extend google.protobuf.MethodOptions",
		"google/api/field_behavior.proto":  "OUTPUT_ONLY",
		"google/rpc/error_details.proto":   "message ErrorInfo",
		"google/rpc/status.proto":          "message Status",
		"google/type/money.proto":          "currency_code",
		"google/api/resource.proto":        "extend google.protobuf.MessageOptions",
		"google/api/httpbody.proto":        "message HttpBody",
		"google/rpc/code.proto":            "FAILED_PRECONDITION",
		"google/type/latlng.proto":         "double latitude",
		"google/protobuf/descriptor.proto": "",
	} {
		text, err := os.ReadFile(filepath.Join(folder, filepath.FromSlash(file)))
		switch {
		case want == "" && err == nil:
			t.Errorf("%s is exported, which buf brings itself", file)
		case want != "" && !strings.Contains(string(text), want):
			t.Errorf("%s does not contain %q: %v", file, want, err)
		}
	}
}

func TestExportLeavesEqualFilesAlone(t *testing.T) {
	folder := t.TempDir()
	if err := export(protoregistry.GlobalFiles, folder); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "google", "rpc", "status.proto")
	old := time.Date(2013, 3, 3, 9, 47, 0, 0, time.UTC)
	if err := os.Chtimes(file, old, old); err != nil {
		t.Fatal(err)
	}
	if err := export(protoregistry.GlobalFiles, folder); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if !info.ModTime().Equal(old) {
		t.Error("an equal file is written again")
	}
}
