package zone

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"
)

func base(t *testing.T, records ...Record) (Zone, func() string) {
	t.Helper()
	next := ids()
	z, _, err := New("example.com").Apply(Batch{Creates: records}, Limits{}, next)
	if err != nil {
		t.Fatal(err)
	}
	return z, next
}

func rulesOf(t *testing.T, err error) []string {
	t.Helper()
	var invalid *InvalidError
	if !errors.As(err, &invalid) {
		t.Fatalf("error %v", err)
	}
	out := make([]string, 0, len(invalid.Violations))
	for _, v := range invalid.Violations {
		out = append(out, v.Field+" "+string(v.Rule))
	}
	return out
}

func TestApply(t *testing.T) {
	z, next := base(t,
		Record{Name: "www", Type: "A", Content: "192.0.2.1"},
		Record{Name: "www", Type: "A", Content: "192.0.2.2", TTL: 60},
		Record{Name: "mail", Type: "A", Content: "192.0.2.3"},
	)
	after, done, err := z.Apply(Batch{
		Creates: []Record{{ID: "mine", Name: "www", Type: "CNAME", Content: "x.example.net"}},
		Updates: []Record{{ID: "r3", Name: "mail", Type: "AAAA", Content: "2001:db8::1"}},
		Deletes: []string{"r1", "r2"},
	}, Limits{MaxRecords: 2}, next)
	if err != nil {
		t.Fatal(err)
	}
	if after.Len() != 2 || z.Len() != 3 {
		t.Errorf("%d records after, %d in the old zone", after.Len(), z.Len())
	}
	if done.Created[0].ID != "r4" || done.Updated[0].Type != "AAAA" || done.Deleted[1].Content != "192.0.2.2" {
		t.Errorf("applied %+v", done)
	}
	if r, ok := after.Record("r3"); !ok || r.Content != "2001:db8::1" {
		t.Errorf("r3 is %+v, %t", r, ok)
	}
	if _, ok := after.Record("r1"); ok {
		t.Error("r1 is still there")
	}
}

func TestApplyConflicts(t *testing.T) {
	for name, c := range map[string]struct {
		zone  []Record
		batch Batch
		want  []string
	}{
		"CNAME beside A": {
			[]Record{{Name: "a", Type: "A", Content: "192.0.2.1"}},
			Batch{Creates: []Record{{Name: "a", Type: "CNAME", Content: "x.example.net"}}},
			[]string{"creates[0] cname_conflict"},
		},
		"TXT beside CNAME": {
			[]Record{{Name: "a", Type: "CNAME", Content: "x.example.net"}},
			Batch{Creates: []Record{{Name: "a", Type: "TXT", Content: "x"}}},
			[]string{"creates[0] cname_conflict"},
		},
		"two CNAMEs": {
			nil,
			Batch{Creates: []Record{{Name: "a", Type: "CNAME", Content: "x.example.net"}, {Name: "a", Type: "CNAME", Content: "y.example.net"}}},
			[]string{"creates[1] cname_conflict"},
		},
		"apex CNAME beside MX": {
			[]Record{{Name: "@", Type: "MX", Content: "m.example.net"}},
			Batch{Creates: []Record{{Name: "@", Type: "CNAME", Content: "x.example.net"}, {Name: "@", Type: "TXT", Content: "x"}}},
			nil,
		},
		"apex CNAME beside A": {
			[]Record{{Name: "@", Type: "CNAME", Content: "x.example.net"}},
			Batch{Creates: []Record{{Name: "@", Type: "A", Content: "192.0.2.1"}}},
			[]string{"creates[0] cname_conflict"},
		},
		"duplicate": {
			[]Record{{Name: "a", Type: "A", Content: "192.0.2.1"}},
			Batch{Creates: []Record{{Name: "A.example.com", Type: "a", Content: "192.0.2.1", TTL: 300}}},
			[]string{"creates[0] duplicate"},
		},
		"duplicate within": {
			nil,
			Batch{Creates: []Record{{Name: "a", Type: "CNAME", Content: "x.example.net"}, {Name: "a", Type: "CNAME", Content: "x.example.net"}}},
			[]string{"creates[1] duplicate"},
		},
		"update into duplicate": {
			[]Record{{Name: "a", Type: "A", Content: "192.0.2.1"}, {Name: "a", Type: "A", Content: "192.0.2.2"}},
			Batch{Updates: []Record{{ID: "r1", Name: "a", Type: "A", Content: "192.0.2.2"}}},
			[]string{"updates[0] duplicate"},
		},
		"MX of two priorities": {
			nil,
			Batch{Creates: []Record{{Name: "a", Type: "MX", Content: "x.example.net", Priority: 1}, {Name: "a", Type: "MX", Content: "x.example.net", Priority: 2}}},
			nil,
		},
		"loop": {
			[]Record{{Name: "a", Type: "CNAME", Content: "b.example.com"}, {Name: "b", Type: "CNAME", Content: "c.example.com"}},
			Batch{Creates: []Record{{Name: "c", Type: "CNAME", Content: "a.example.com"}}},
			[]string{"creates[0] cname_loop"},
		},
		"DS without NS": {
			nil,
			Batch{Creates: []Record{{Name: "s", Type: "DS", Content: "1 8 1 " + strings.Repeat("ab", 20)}}},
			[]string{"creates[0] ds_without_ns"},
		},
		"NS taken from DS": {
			[]Record{{Name: "s", Type: "DS", Content: "1 8 1 " + strings.Repeat("ab", 20)}, {Name: "s", Type: "NS", Content: "ns.example.net"}},
			Batch{Deletes: []string{"r2"}},
			[]string{"deletes[0] ds_without_ns"},
		},
		"unknown and twice": {
			[]Record{{Name: "a", Type: "A", Content: "192.0.2.1"}},
			Batch{Deletes: []string{"r1", "r9"}, Updates: []Record{{ID: "r1", Name: "a", Type: "A", Content: "192.0.2.2"}}},
			[]string{"deletes[1] record_not_found", "updates[0] twice_in_batch"},
		},
		"all at once": {
			nil,
			Batch{Creates: []Record{{Name: "a", Type: "A", Content: "x"}, {Name: "b", Type: "A", Content: "192.0.2.1", TTL: 3}}},
			[]string{"creates[0].content content_syntax", "creates[1].ttl ttl_range"},
		},
		"swap": {
			[]Record{{Name: "a", Type: "A", Content: "192.0.2.1"}, {Name: "a", Type: "A", Content: "192.0.2.2"}},
			Batch{Updates: []Record{{ID: "r1", Name: "a", Type: "A", Content: "192.0.2.2"}, {ID: "r2", Name: "a", Type: "A", Content: "192.0.2.1"}}},
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			z, next := base(t, c.zone...)
			after, _, err := z.Apply(c.batch, Limits{}, next)
			if c.want == nil {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if got := rulesOf(t, err); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if !slices.Equal(after.Records(), z.Records()) {
				t.Error("a refused batch changed the zone")
			}
		})
	}
}

func TestLongChain(t *testing.T) {
	var b Batch
	for i := range maxChain + 1 {
		b.Creates = append(b.Creates, Record{Name: fmt.Sprintf("c%d", i), Type: "CNAME", Content: fmt.Sprintf("c%d.example.com", i+1)})
	}
	_, _, err := New("example.com").Apply(b, Limits{}, ids())
	if got := rulesOf(t, err); !slices.Equal(got, []string{"creates[0] cname_loop"}) || !strings.Contains(err.Error(), "longer than 16") {
		t.Errorf("%q %v", got, err)
	}
	b.Creates = b.Creates[1:]
	if _, _, err := New("example.com").Apply(b, Limits{}, ids()); err != nil {
		t.Error(err)
	}
	loop := Batch{Creates: []Record{{Name: "a", Type: "CNAME", Content: "b.example.com"}, {Name: "b", Type: "CNAME", Content: "a.example.com"}}}
	if _, _, err := New("example.com").Apply(loop, Limits{}, ids()); err == nil || !strings.Contains(err.Error(), "lead back to each other") {
		t.Errorf("error %v", err)
	}
}

func TestApplyLimits(t *testing.T) {
	z, next := base(t, Record{Name: "a", Type: "A", Content: "192.0.2.1"}, Record{Name: "b", Type: "A", Content: "192.0.2.1"}, Record{Name: "c", Type: "A", Content: "192.0.2.1"})
	_, _, err := z.Apply(Batch{Creates: []Record{{Name: "d", Type: "A", Content: "192.0.2.1"}}}, Limits{MaxRecords: 3}, next)
	if got := rulesOf(t, err); !slices.Equal(got, []string{"creates too_many_records"}) {
		t.Errorf("%q", got)
	}
	// A limit that sank below what is there forbids growing only.
	if _, _, err := z.Apply(Batch{Deletes: []string{"r1"}, Updates: []Record{{ID: "r2", Name: "b", Type: "A", Content: "192.0.2.9"}}}, Limits{MaxRecords: 1}, next); err != nil {
		t.Error(err)
	}
	var many Batch
	for i := range 150 {
		many.Creates = append(many.Creates, Record{Name: fmt.Sprintf("h%d", i), Type: "A", Content: "x"})
	}
	_, _, err = z.Apply(many, Limits{}, next)
	var invalid *InvalidError
	if !errors.As(err, &invalid) || len(invalid.Violations) != 100 || invalid.More != 50 {
		t.Errorf("%v", err)
	}
	if !strings.HasSuffix(err.Error(), "and 147 more") {
		t.Errorf("message %q", err)
	}
}

func TestRRsets(t *testing.T) {
	z, _ := base(t,
		Record{Name: "www", Type: "A", Content: "192.0.2.2", TTL: 3600},
		Record{Name: "www", Type: "A", Content: "192.0.2.1", Proxied: true},
		Record{Name: "@", Type: "TXT", Content: "x", TTL: 60},
		Record{Name: "a.www", Type: "A", Content: "192.0.2.1", TTL: 60},
	)
	sets := z.RRsets()
	var got []string
	for _, s := range sets {
		got = append(got, fmt.Sprintf("%s %s %d %t %d", s.Name, s.Type, s.TTL, s.Proxied, len(s.Records)))
	}
	want := []string{"example.com TXT 60 false 1", "www.example.com A 300 true 2", "a.www.example.com A 60 false 1"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if z.Origin() != "example.com" || Load("example.com", z.Records()).Len() != 4 {
		t.Error("origin or load is wrong")
	}
}

// recordOf draws records of all types, most of them valid.
func recordOf(t *rapid.T) Record {
	label := rapid.StringMatching(`[a-z_][a-z0-9_-]{0,6}`)
	name := rapid.OneOf(rapid.Just("@"), label, rapid.Map(label, func(s string) string { return "*." + s }), rapid.Map(label, func(s string) string { return s + ".sub" })).Draw(t, "name")
	host := rapid.Map(label, func(s string) string { return strings.Trim(s, "_") + "h.example.net" }).Draw(t, "host")
	text := rapid.OneOf(
		rapid.StringN(1, 600, 1200),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 1, 600), func(b []byte) string { return `"` + escape(string(b)) + `"` }),
	)
	quoted := rapid.Map(rapid.StringMatching(`[!-~ ]{1,20}`), func(s string) string { return `"` + escape(s) + `"` })
	contents := map[Type]func() string{
		TypeA:     func() string { return rapid.StringMatching(`203\.0\.113\.[1-9][0-9]?`).Draw(t, "a") },
		TypeAAAA:  func() string { return rapid.StringMatching(`2001:db8::[1-9a-f][0-9a-f]{0,3}`).Draw(t, "aaaa") },
		TypeCAA:   func() string { return "0 issue " + quoted.Draw(t, "ca") },
		TypeCNAME: func() string { return host },
		TypeHTTPS: func() string { return "1 " + host + " alpn=h2,h3 port=8443" },
		TypeSVCB:  func() string { return "2 . ipv4hint=192.0.2.1,192.0.2.2" },
		TypeMX:    func() string { return host },
		TypeNS:    func() string { return host },
		TypePTR:   func() string { return host },
		TypeNAPTR: func() string {
			return "1 2 " + quoted.Draw(t, "flags") + ` "E2U+sip" ` + quoted.Draw(t, "re") + " " + host
		},
		TypeSRV:   func() string { return "5 5060 " + host },
		TypeSSHFP: func() string { return "4 2 " + rapid.StringMatching(`[0-9a-f]{64}`).Draw(t, "fp") },
		TypeTLSA:  func() string { return "3 1 1 " + rapid.StringMatching(`[0-9A-F]{64}`).Draw(t, "tlsa") },
		TypeTXT:   func() string { return text.Draw(t, "text") },
		TypeURI:   func() string { return "1 " + quoted.Draw(t, "uri") },
	}
	r := Record{
		Name:    name,
		Type:    rapid.SampledFrom(slices.Sorted(maps.Keys(contents))).Draw(t, "type"),
		TTL:     rapid.SampledFrom([]int32{0, 1, 60, 300, 86400}).Draw(t, "ttl"),
		Comment: rapid.OneOf(rapid.Just(""), rapid.StringMatching(`[ -~äöü;"\\]{0,20}`)).Draw(t, "comment"),
	}
	r.Content = contents[r.Type]()
	switch r.Type {
	case TypeMX, TypeSRV, TypeURI:
		r.Priority = rapid.Int32Range(0, 65535).Draw(t, "priority")
	case TypeA, TypeAAAA, TypeCNAME:
		r.Proxied = rapid.Bool().Draw(t, "proxied")
	default:
	}
	return r
}

// Whatever a zone holds, its export imports to the same, and another parser reads in it the
// same records.
func TestExportRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		next := ids()
		z := New("example.com")
		for range rapid.IntRange(1, 15).Draw(t, "n") {
			after, _, err := z.Apply(Batch{Creates: []Record{recordOf(t)}}, Limits{}, next)
			var invalid *InvalidError
			if err != nil && !errors.As(err, &invalid) {
				t.Fatalf("error %v", err)
			}
			z = after
		}
		checkRoundTrip(t, z)
		p := dns.NewZoneParser(strings.NewReader(Export(z)), "", "")
		for _, r := range z.Sorted() {
			want, err := r.RR()
			if err != nil {
				t.Fatalf("%+v: %v", r, err)
			}
			got, ok := p.Next()
			if !ok || got.String() != want.String() {
				t.Fatalf("got %v (%v), want %v", got, p.Err(), want)
			}
		}
	})
}

// A zone stays free of conflicts under any batches, and a refused batch changes nothing.
func TestApplyModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		next := ids()
		z := New("example.com")
		for range rapid.IntRange(1, 12).Draw(t, "batches") {
			var b Batch
			for range rapid.IntRange(0, 3).Draw(t, "creates") {
				b.Creates = append(b.Creates, recordOf(t))
			}
			for _, r := range z.Records() {
				switch rapid.IntRange(0, 5).Draw(t, "fate") {
				case 0:
					b.Deletes = append(b.Deletes, r.ID)
				case 1:
					u := recordOf(t)
					u.ID = r.ID
					b.Updates = append(b.Updates, u)
				}
			}
			before := slices.Clone(z.Records())
			after, done, err := z.Apply(b, Limits{}, next)
			if !slices.Equal(z.Records(), before) {
				t.Fatal("the old zone changed")
			}
			if err != nil {
				continue
			}
			if after.Len() != z.Len()+len(b.Creates)-len(b.Deletes) || len(done.Updated) != len(b.Updates) {
				t.Fatalf("%d records from %d by %+v", after.Len(), z.Len(), b)
			}
			z = after
		}
		seen := map[string]bool{}
		for _, r := range z.Records() {
			if seen[r.ID] || r.ID == "" {
				t.Fatalf("the ID %q is not unique", r.ID)
			}
			seen[r.ID] = true
			if again, broken := r.Canonical("example.com"); len(broken) > 0 || again != r {
				t.Fatalf("%+v is not canonical: %v", r, broken)
			}
		}
		var vs violations
		all := make([]entry, z.Len())
		for i, r := range z.Records() {
			all[i] = entry{r, "x"}
		}
		checkZone("example.com", all, nil, &vs)
		if vs.err() != nil {
			t.Fatal(vs.err())
		}
	})
}
