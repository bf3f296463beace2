package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A keyUse says who may name the keys of one kind of record, and who of them may write it.
// The test of the server with a recording store (server/writers_test.go) sees who truly
// does; this one sees a new writer also where no story leads to it.
type keyUse struct {
	builders []string
	// writers may write such keys, readers only read them.
	writers, readers []string
	reason           string
}

var keyUses = []keyUse{
	{
		builders: []string{"wire.BlobKey", "wire.BaseKey", "wire.BaseChunkKey"}, writers: []string{"publish"},
		readers: []string{"prune", "controlplanetest"},
		reason:  "documents and bases are made where releases are sealed",
	},
	{
		builders: []string{"wire.ReleaseKey"}, writers: []string{"publish", "prune"},
		readers: []string{"rollout", "propagation", "service/ops", "controlplanetest"},
		reason:  "only what the publisher seals is ever released; what nobody needs any more is removed by prune alone",
	},
	{
		builders: []string{"wire.TargetKey"}, writers: []string{"rollout"},
		reason: "no data center moves but through the rollout's gates",
	},
	{
		builders: []string{"wire.AbandonedKey"}, writers: []string{"rollout", "prune"},
		reason: "a release is dead for ever; its mark goes with its manifest",
	},
	{
		builders: []string{"ledger.HeadKey"}, writers: []string{"publish", "rollout"},
		readers: []string{"propagation", "prune", "service/ops", "controlplanetest"},
		reason:  "the publisher moves the head on, and an abandoned release moves it back",
	},
	{
		builders: []string{"ledger.RolloutKey", "ledger.SuspectsKey"}, writers: []string{"rollout"},
		readers: []string{"publish", "propagation", "prune", "incident", "service/ops"},
		reason:  "what the machine remembers is what its steps wrote",
	},
	{
		builders: []string{"ledger.HistoryKey"}, writers: []string{"rollout", "prune"},
		readers: []string{"propagation", "incident", "service/ops"},
		reason:  "a release is finished by the step that ended it, and forgotten when it is old",
	},
	{
		builders: []string{"ledger.QuarantineKey"}, writers: []string{"rollout"}, readers: []string{"service/ops", "ownerlog"},
		reason: "quarantine follows from evidence; operators ask for a retry by a command",
	},
	{
		builders: []string{"ledger.PolicyKey", "ledger.DataCenterKey"}, writers: []string{"service/ops"},
		readers: []string{"rollout", "propagation", "prune"},
		reason:  "they are operators' wishes, audited where they are made",
	},
	{
		builders: []string{"ledger.CommandKey"}, writers: []string{"service/ops", "rollout"},
		reason: "operators ask, and the leader removes what it did",
	},
	{
		builders: []string{"ledger.FleetKey"}, writers: []string{"fleet"}, readers: []string{"prune", "service/ops"},
		reason: "summaries are made of reports",
	},
	{
		builders: []string{"ledger.IncidentKey", "ledger.IncidentCursorKey"}, writers: []string{"incident"},
		reason: "incidents are told once, by the tracker; operators' edits pass through its keys",
	},
	{
		builders: []string{"ledger.LeaderKey"}, writers: []string{"server"},
		reason: "the engine's election is composed there",
	},
}

// writeCalls are the calls that make a write of the key that is their first argument.
var writeCalls = []string{"Put", "PutNew", "PutRaw", "Delete", "put"}

// spaces are the prefixes of what this test guards, and the packages that spell them.
var (
	spaces    = []string{"edge/", "base/", "control/"}
	spellings = []string{"sdk/edge/wire", rooms + "/ledger"}
)

// TestWritersOfEdgeAndControl fails on a key of the edge or of the engine that is built
// where the table does not expect it, or written where it is only to be read.
func TestWritersOfEdgeAndControl(t *testing.T) {
	uses := map[string]keyUse{}
	for _, use := range keyUses {
		for _, b := range use.builders {
			uses[b] = use
		}
	}
	top, found := root(t), map[string]bool{}
	for _, file := range goFiles(t) {
		folder := file.folder()
		if !strings.HasPrefix(folder, "controlplane") && !strings.HasPrefix(folder, "billing") ||
			file.generated || strings.HasSuffix(file.name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(top, filepath.FromSlash(file.name)))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range keysIn(t, file.name, text) {
			if m.space {
				if !slices.Contains(spellings, folder) {
					t.Errorf("%s spells the key %q: keys of edges and of the engine are built by %s", m.at, m.builder, strings.Join(spellings, " and "))
				}
				continue
			}
			room := strings.TrimPrefix(folder, rooms+"/")
			use, guarded := uses[m.builder]
			switch {
			case !guarded:
				if isKey(m.builder) && !slices.Contains(spellings, folder) {
					t.Errorf("%s: the table in archtest/writers_test.go says nothing of %s", m.at, m.builder)
				}
			case slices.Contains(use.writers, room):
				found[m.builder] = true
			case slices.Contains(use.readers, room) && !m.written:
			default:
				t.Errorf("%s: %s is not for %s to use so: %s", m.at, m.builder, path.Base(room), use.reason)
			}
		}
	}
	for _, b := range slices.Sorted(maps.Keys(uses)) {
		if !found[b] {
			t.Errorf("nobody who may writes %s: the table is stale, or the search is broken", b)
		}
	}
}

// isKey says whether a function or constant of wire or ledger names one key.
func isKey(builder string) bool {
	_, name, _ := strings.Cut(builder, ".")
	return strings.HasSuffix(name, "Key") && !strings.Contains(name, "PublicKey") && name != "ParseEdgeKey" && name != "EdgeKey"
}

// A keyMention is a place where a key is built or spelled.
type keyMention struct {
	at, builder string
	written     bool
	space       bool
}

func keysIn(t *testing.T, name string, text []byte) []keyMention {
	t.Helper()
	set := token.NewFileSet()
	syntax, err := parser.ParseFile(set, name, text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var out []keyMention
	written := map[ast.Node]bool{}
	ast.Inspect(syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if len(n.Args) > 0 && slices.Contains(writeCalls, calledName(n.Fun)) {
				written[builderOf(n.Args[0])] = true
			}
		case *ast.SelectorExpr:
			if pkg, ok := n.X.(*ast.Ident); ok && (pkg.Name == "wire" || pkg.Name == "ledger") {
				out = append(out, keyMention{at: set.Position(n.Pos()).String(), builder: pkg.Name + "." + n.Sel.Name, written: written[n]})
			}
		case *ast.BasicLit:
			if word := strings.Trim(n.Value, "\"`"); n.Kind == token.STRING && startsWithAny(word, spaces) {
				out = append(out, keyMention{at: set.Position(n.Pos()).String(), builder: word, space: true})
			}
		}
		return true
	})
	return out
}

func startsWithAny(word string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(word, p) })
}

func calledName(fun ast.Expr) string {
	switch fun := fun.(type) {
	case *ast.Ident:
		return fun.Name
	case *ast.SelectorExpr:
		return fun.Sel.Name
	}
	return ""
}

// builderOf is the selector of a key that is built in place, or names a constant.
func builderOf(arg ast.Expr) ast.Node {
	if call, ok := arg.(*ast.CallExpr); ok {
		return call.Fun
	}
	return arg
}

func TestKeysIn(t *testing.T) {
	found := keysIn(t, "x.go", []byte(`package x
var a = registry.Put(wire.TargetKey("SJC", c), nil)
var b, _ = store.Get(ctx, ledger.HeadKey(c))
var c = "control/x"
var d = tx.Delete(ledger.LeaderKey)
`))
	var got []string
	for _, m := range found {
		word := m.builder
		if m.written {
			word += " written"
		}
		got = append(got, word)
	}
	if want := "wire.TargetKey written, ledger.HeadKey, control/x, ledger.LeaderKey written"; strings.Join(got, ", ") != want {
		t.Errorf("got %s", strings.Join(got, ", "))
	}
}
