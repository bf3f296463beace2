package zone

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzParseBIND: no file makes the importer fail in any other way than with typed errors of
// lines that exist, and what it takes survives an export.
func FuzzParseBIND(f *testing.F) {
	files, err := filepath.Glob("testdata/import/*.zone")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range files {
		src, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(src))
	}
	f.Add("a TXT ( \"x\" ; c\n \"y\" )\n\\052.b 1h IN A 192.0.2.1 ; bw:comment=\"\\u1234\"")
	f.Add("a TYPE1 \\# 4 c0000201\n$ORIGIN .\nb.example.com HTTPS 1 . key65000=\"\\\"x\"")
	f.Fuzz(func(t *testing.T, src string) {
		file, err := ParseBIND(strings.NewReader(src), "example.com", FileOptions{})
		if err != nil {
			var refused *FileError
			if !errors.As(err, &refused) || len(refused.Lines) == 0 || len(refused.Lines) > maxViolations {
				t.Fatalf("error %v", err)
			}
			most := strings.Count(src, "\n") + 1
			for i, l := range refused.Lines {
				if l.Line < 1 || l.Line > most || l.Rule == "" || l.Message == "" || i > 0 && l.Line < refused.Lines[i-1].Line {
					t.Fatalf("error %+v of %d lines", l, most)
				}
			}
			return
		}
		z, _, err := New("example.com").Apply(Batch{Creates: file.Records}, Limits{}, ids())
		if err != nil {
			t.Fatalf("what was imported is refused: %v", err)
		}
		checkRoundTrip(t, z)
	})
}

// FuzzCanonical: canonical records are stable, pack, and build the same record that they
// were made from.
func FuzzCanonical(f *testing.F) {
	for t, form := range forms {
		_, example, _ := strings.Cut(form.like, ", as ")
		f.Add("www", string(t), strings.ReplaceAll(example, "…", ""))
	}
	f.Add("@", "TXT", `"a\"b" "\255"`)
	f.Add("*.x", "HTTPS", `1 a.example.net mandatory=alpn alpn="h2\\,x" key667="\000"`)
	f.Fuzz(func(t *testing.T, name, typ, content string) {
		r, broken := Record{Name: name, Type: Type(typ), Content: content}.Canonical("example.com")
		if len(broken) > 0 {
			return
		}
		again, broken := r.Canonical("example.com")
		if len(broken) > 0 || again != r {
			t.Fatalf("%+v is not stable: %+v %v", r, again, broken)
		}
		rr, err := r.RR()
		if err != nil || throughWire(rr) == nil {
			t.Fatalf("%+v: %v", r, err)
		}
		z, _, err := New("example.com").Apply(Batch{Creates: []Record{r}}, Limits{}, ids())
		if err != nil {
			return // DS without NS
		}
		checkRoundTrip(t, z)
	})
}
