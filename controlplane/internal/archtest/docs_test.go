package archtest

import (
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var sentenceEnd = regexp.MustCompile(`[.!?](["')\]]*)(\s|$)`)

// A few sentences are what a package doc needs at least: what the package is
// for, and what its users must know of ordering, blocking or ownership.
const (
	minSentences = 2
	minWords     = 30
)

// TestPackageDocs checks that every package has one package doc, in doc.go, of a
// few sentences.
func TestPackageDocs(t *testing.T) {
	docs := map[string]string{}
	for _, file := range goFiles(t) {
		if file.generated {
			continue
		}
		folder := file.folder()
		docs[folder] += "" // The package exists, whether documented or not.
		if path.Base(file.name) == "doc.go" {
			docs[folder] = file.doc
		} else if file.doc != "" {
			t.Errorf("%s has a package comment, which belongs in doc.go", file.name)
		}
	}
	for _, folder := range slices.Sorted(maps.Keys(docs)) {
		if problem := docProblem(folder, docs[folder]); problem != "" {
			t.Errorf("%s: %s", folder, problem)
		}
	}
}

func docProblem(folder, doc string) string {
	name := path.Base(folder)
	isCommand := strings.Contains(folder, "cmd/")
	switch {
	case doc == "":
		return "no package doc in doc.go"
	case isCommand && !strings.HasPrefix(doc, "Command "+name+" "):
		return "the package doc does not begin with \"Command " + name + " \""
	case !isCommand && !strings.HasPrefix(doc, "Package "):
		return "the package doc does not begin with \"Package \""
	case len(sentenceEnd.FindAllString(doc, -1)) < minSentences || len(strings.Fields(doc)) < minWords:
		return "the package doc says too little: what is it for, and what must its users know?"
	}
	return ""
}

func TestDocProblem(t *testing.T) {
	const more = "keeps what it was given until somebody asks for it. It never blocks and starts no goroutine, so " +
		"nobody needs to close it; callers may share one value as long as they do not change what they get.\n"
	for _, test := range []struct {
		folder, doc string
		fine        bool
	}{
		{rooms + "/x", "Package x " + more, true},
		{rooms + "/x", "Package x keeps it. It never blocks.\n", false},
		{rooms + "/x", "Package x " + strings.Repeat("very ", minWords) + "briefly.\n", false},
		{rooms + "/x", "", false},
		{rooms + "/x", "It " + more, false},
		{"sdk/cmd/breakwater", "Command breakwater " + more, true},
		{"sdk/cmd/breakwater", "Package main " + more, false},
	} {
		if problem := docProblem(test.folder, test.doc); (problem == "") != test.fine {
			t.Errorf("%q: %q", test.doc, problem)
		}
	}
}

// TestMapNamesEveryRoom keeps controlplane/doc.go, where readers begin, complete.
func TestMapNamesEveryRoom(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root(t), "controlplane", "doc.go"))
	if err != nil {
		t.Fatal(err)
	}
	missing := map[string]bool{}
	for _, file := range goFiles(t) {
		rest, ok := strings.CutPrefix(file.folder(), rooms+"/")
		room, _, _ := strings.Cut(rest, "/")
		if ok && !regexp.MustCompile(`\b`+regexp.QuoteMeta(room)+`\b`).Match(text) {
			missing[room] = true
		}
	}
	for _, room := range slices.Sorted(maps.Keys(missing)) {
		t.Errorf("controlplane/doc.go does not mention the room %s", room)
	}
}
