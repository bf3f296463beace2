package crumb

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

func TestCrumb(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c")
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if c, ok := f.Read(); ok {
		t.Errorf("a new file has %+v", c)
	}
	long := Crumb{
		Channel: wire.Routine, Release: 7, Sum: wire.SumOf(nil),
		Document: wire.DocumentID{Kind: wire.KindSite, ID: strings.Repeat("x", 500)},
	}
	short := Crumb{Channel: wire.Urgent, Release: 8, Document: wire.DocumentID{Kind: "a", ID: "b"}}
	for _, want := range []Crumb{long, short} {
		f.Set(want)
		if got, ok := f.Read(); !ok || got != want {
			t.Errorf("%+v, %v", got, ok)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if f, err = Open(path); err != nil {
		t.Fatal(err)
	}
	if got, ok := f.Read(); !ok || got != short {
		t.Errorf("after opening again: %+v, %v", got, ok)
	}
	f.Clear()
	if got, ok := f.Read(); ok {
		t.Errorf("cleared: %+v", got)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func FuzzParse(f *testing.F) {
	path := filepath.Join(f.TempDir(), "c")
	file, err := Open(path)
	if err != nil {
		f.Fatal(err)
	}
	file.Set(Crumb{Channel: wire.Urgent, Release: 8, Document: wire.DocumentID{Kind: "a", ID: "b"}})
	b, err := os.ReadFile(path)
	if err != nil || file.Close() != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(_ *testing.T, b []byte) { parse(b) })
}
