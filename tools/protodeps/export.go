package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/jhump/protoreflect/v2/protoprint"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// exported lists the folders that are written. The registry also holds what the
// printer itself links, which our protos never import.
var exported = []string{"buf/validate/", "google/api/", "google/rpc/", "google/type/"}

// export makes folder hold the text of every exported file of files, and
// nothing else.
func export(files *protoregistry.Files, folder string) error {
	printer := protoprint.Printer{Compact: true, SortElements: true}
	want := map[string]bool{}
	var failed error
	files.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if !isExported(file.Path()) {
			return true
		}
		path := filepath.Join(folder, filepath.FromSlash(file.Path()))
		want[path] = true
		var text bytes.Buffer
		if failed = printer.PrintProtoFile(file, &text); failed != nil {
			failed = fmt.Errorf("print %s: %w", file.Path(), failed)
			return false
		}
		failed = write(path, text.Bytes())
		return failed == nil
	})
	if failed != nil {
		return failed
	}
	return removeOthers(folder, want)
}

func isExported(path string) bool {
	for _, prefix := range exported {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}

// write leaves a file alone that already has the text, so that its time says
// when it last changed.
func write(path string, text []byte) error {
	have, err := os.ReadFile(path)
	if err == nil && bytes.Equal(have, text) {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

// removeOthers deletes proto files that an earlier set of modules left behind.
func removeOthers(folder string, want map[string]bool) error {
	return filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || want[path] || filepath.Ext(path) != ".proto" {
			return err
		}
		return os.Remove(path)
	})
}
