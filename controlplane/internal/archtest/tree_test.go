package archtest

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/breakwater-cdn/breakwater"

// A goFile is one Go file of the module, as far as the tests judge it.
type goFile struct {
	name      string // slash-separated, relative to the module's root
	test      bool   // a _test.go file, or part of a package made for tests
	generated bool
	lines     int
	doc       string // the package comment, if the file has one
	imports   []string
	inits     int
}

// folder is the package's path within the module.
func (f goFile) folder() string { return path.Dir(f.name) }

// root finds the folder of go.mod.
func root(t *testing.T) string {
	t.Helper()
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			return folder
		}
		parent := filepath.Dir(folder)
		if parent == folder {
			t.Fatal("no go.mod above the test")
		}
		folder = parent
	}
}

// walk calls visit for every file that belongs to the project: not for hidden
// folders, build results, data directories and what npm installed.
func walk(t *testing.T, visit func(name string)) {
	t.Helper()
	top := root(t)
	err := filepath.WalkDir(top, func(full string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(top, full)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if !entry.IsDir() {
			visit(name)
			return nil
		}
		if skipped(name) {
			return filepath.SkipDir
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func skipped(folder string) bool {
	base := path.Base(folder)
	hidden := strings.HasPrefix(base, ".") && base != "." && base != ".ci"
	return hidden || folder == "bin" || folder == "dist" ||
		slices.Contains([]string{"breakwater-data", "node_modules"}, base)
}

// parsed keeps the tree for all tests of a run.
var parsed []goFile

// goFiles parses every Go file of the module but test data, and the tools,
// which are a module of their own.
func goFiles(t *testing.T) []goFile {
	t.Helper()
	if parsed != nil {
		return parsed
	}
	top := root(t)
	var files []goFile
	walk(t, func(name string) {
		if path.Ext(name) != ".go" || strings.HasPrefix(name, "tools/") || strings.Contains(name, "testdata/") {
			return
		}
		text, err := os.ReadFile(filepath.Join(top, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		file, err := parseFile(name, text)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	})
	if len(files) < 10 {
		t.Fatalf("only %d Go files were found; the walk is broken", len(files))
	}
	parsed = files
	return files
}

func parseFile(name string, text []byte) (goFile, error) {
	mode := parser.ParseComments | parser.SkipObjectResolution
	if bytes.Contains(text, []byte("\n// Code generated ")) || bytes.HasPrefix(text, []byte("// Code generated ")) {
		mode |= parser.ImportsOnly // Large, and only its imports are judged.
	}
	set := token.NewFileSet()
	syntax, err := parser.ParseFile(set, name, text, mode)
	if err != nil {
		return goFile{}, err
	}
	file := goFile{
		name:      name,
		test:      strings.HasSuffix(name, "_test.go") || isTestPackage(path.Dir(name)),
		generated: ast.IsGenerated(syntax),
		lines:     set.File(syntax.Pos()).LineCount(),
		doc:       syntax.Doc.Text(),
	}
	for _, spec := range syntax.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return goFile{}, err
		}
		file.imports = append(file.imports, imported)
	}
	for _, decl := range syntax.Decls {
		if function, ok := decl.(*ast.FuncDecl); ok && function.Recv == nil && function.Name.Name == "init" {
			file.inits++
		}
	}
	return file, nil
}

// isTestPackage says whether a package exists for tests only: a conformance
// suite or a harness, which by its name ends in test (registrytest, say).
func isTestPackage(folder string) bool {
	for element := range strings.SplitSeq(folder, "/") {
		if strings.HasSuffix(element, "test") {
			return true
		}
	}
	return false
}

// within says whether an import path or a folder is tree or lies beneath it.
func within(name, tree string) bool {
	return name == tree || strings.HasPrefix(name, tree+"/")
}

func withinAny(name string, trees []string) bool {
	return slices.ContainsFunc(trees, func(tree string) bool { return within(name, tree) })
}
