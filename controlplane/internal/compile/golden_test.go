package compile

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/catalog"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

var update = flag.Bool("update", false, "write the golden files")

// TestGolden compiles every input of testdata. A golden file has the digests too: when one
// changes although nothing else does, [Version] must grow.
func TestGolden(t *testing.T) {
	inputs, err := filepath.Glob("testdata/*.json")
	if err != nil || len(inputs) < 3 {
		t.Fatalf("%d inputs: %v", len(inputs), err)
	}
	for _, name := range inputs {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".json"), func(t *testing.T) {
			docs, err := Site(input(t, name))
			if err != nil {
				t.Fatal(err)
			}
			compareGolden(t, strings.TrimSuffix(name, ".json")+".golden", docs)
		})
	}
	t.Run("platform", func(t *testing.T) {
		apps, err := catalog.Default()
		if err != nil {
			t.Fatal(err)
		}
		var docs []Document
		for _, app := range apps {
			doc, err := App(&storev1.AppRecord{App: app}, nil)
			if err != nil {
				t.Fatal(err)
			}
			docs = append(docs, doc)
		}
		doc, err := Limits(&storev1.LimitsRecord{Limits: DefaultLimits()})
		if err != nil {
			t.Fatal(err)
		}
		compareGolden(t, "testdata/platform.golden", append(docs, doc))
	})
}

func input(t testing.TB, name string) SiteInput {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Record json.RawMessage
		Zone   []json.RawMessage
		Limits json.RawMessage
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	in := SiteInput{Record: &storev1.SiteRecord{}}
	if err := protojson.Unmarshal(file.Record, in.Record); err != nil {
		t.Fatal(err)
	}
	for _, raw := range file.Zone {
		r := &breakwaterv1.DnsRecord{}
		if err := protojson.Unmarshal(raw, r); err != nil {
			t.Fatal(err)
		}
		in.Zone = append(in.Zone, r)
	}
	if file.Limits != nil {
		in.Limits = &opsv1.Limits{}
		if err := protojson.Unmarshal(file.Limits, in.Limits); err != nil {
			t.Fatal(err)
		}
	}
	return in
}

func compareGolden(t *testing.T, name string, docs []Document) {
	t.Helper()
	got := render(t, docs)
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatalf("%v (run with -update)", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; run with -update and read the difference:\n%s", name, got)
	}
}

func render(t *testing.T, docs []Document) []byte {
	t.Helper()
	var b bytes.Buffer
	fmt.Fprintf(&b, "compiler version %d\n", Version)
	for _, doc := range docs {
		if wire.SumOf(doc.Bytes) != doc.Sum {
			t.Errorf("%v: the digest is wrong", doc.ID)
		}
		m := message(t, doc.ID.Kind)
		if err := proto.Unmarshal(doc.Bytes, m); err != nil {
			t.Fatal(err)
		}
		text, err := protojson.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		var indented bytes.Buffer
		if err := json.Indent(&indented, text, "", "  "); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "\n%v %v\n%s\n", doc.ID, doc.Sum, indented.String())
	}
	return b.Bytes()
}

func message(t *testing.T, kind string) proto.Message {
	t.Helper()
	switch kind {
	case wire.KindSite:
		return &edgev1.SiteDocument{}
	case wire.KindShield:
		return &edgev1.ShieldDocument{}
	case wire.KindPurge:
		return &edgev1.PurgeDocument{}
	case wire.KindDNS:
		return &edgev1.DnsDocument{}
	case wire.KindApp:
		return &edgev1.AppDocument{}
	case wire.KindLimits:
		return &edgev1.LimitsDocument{}
	}
	t.Fatalf("kind %q", kind)
	return nil
}
