package zone

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got:\n%s", path, got)
	}
}

// ids gives record IDs in order.
func ids() func() string {
	n := 0
	return func() string { n++; return fmt.Sprintf("r%d", n) }
}

func TestImportShapes(t *testing.T) {
	files, err := filepath.Glob("testdata/import/*.zone")
	if err != nil || len(files) < 7 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			src, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			z, done, err := New("example.com").Import(strings.NewReader(string(src)), FileOptions{}, Limits{}, ids())
			if err != nil {
				if refused, ok := errors.AsType[*FileError](err); ok {
					for _, l := range refused.Lines {
						t.Errorf("%d: %s: %s: %s", l.Line, l.Rule, l.Message, l.Text)
					}
				}
				t.Fatal(err)
			}
			base := strings.TrimSuffix(path, ".zone")
			var b strings.Builder
			for _, r := range done.Created {
				fmt.Fprintf(&b, "%s %s ttl=%d priority=%d proxied=%t %s", r.Name, r.Type, r.TTL, r.Priority, r.Proxied, r.Content)
				if r.Comment != "" {
					fmt.Fprintf(&b, " ; %s", r.Comment)
				}
				b.WriteByte('\n')
			}
			for _, n := range done.Ignored.Listed {
				fmt.Fprintf(&b, "ignored %d %s: %s\n", n.Line, n.Rule, n.Message)
			}
			for _, n := range done.Warnings.Listed {
				fmt.Fprintf(&b, "warning %d %s: %s\n", n.Line, n.Rule, n.Message)
			}
			golden(t, base+".golden", b.String())
			golden(t, "testdata/export/"+filepath.Base(base)+".zone", Export(z))
			checkRoundTrip(t, z)

			_, again, err := z.Import(strings.NewReader(string(src)), FileOptions{}, Limits{}, ids())
			if err != nil || len(again.Created) != 0 || len(again.Warnings.Listed) != 0 {
				t.Errorf("the second import created %d records, %v, warnings %v", len(again.Created), err, again.Warnings)
			}
		})
	}
}

func withoutIDs(records []Record) []Record {
	out := slices.Clone(records)
	for i := range out {
		out[i].ID = ""
	}
	return out
}

func checkRoundTrip(t interface {
	Helper()
	Fatalf(string, ...any)
}, z Zone,
) {
	t.Helper()
	text := Export(z)
	back, _, err := New(z.Origin()).Import(strings.NewReader(text), FileOptions{}, Limits{MaxRecords: 10000}, ids())
	if err != nil {
		t.Fatalf("the export does not import: %v\n%s", err, text)
	}
	want, got := withoutIDs(z.Sorted()), withoutIDs(back.Sorted())
	if !slices.Equal(got, want) {
		t.Fatalf("round trip:\n%s\ngot  %+v\nwant %+v", text, got, want)
	}
	if Export(back) != text {
		t.Fatalf("the second export differs:\n%s\n%s", text, Export(back))
	}
}

func TestImportErrors(t *testing.T) {
	const src = `$TTL 1h
$INCLUDE /etc/passwd
$GENERATE 1-10 host$ A 192.0.2.$
$TTL soon
$BOGUS x
a	A	300.1.2.3
b	CNAME	x.example.net.
b	A	192.0.2.1
c	TXT	"open
d	MX	mail.example.net.
e	FOO	bar
f	CH	TXT	"x"
g.example.org.	A	192.0.2.1
h	A	10.0.0.1 ; bw:proxied=true
bad..name	A	192.0.2.1
		AAAA	2001:db8::1
i	TXT	( "one"
		"two" ) extra
j	A
k	A	192.0.2.1 ; bw:proxied=maybe
l	NS	192.0.2.7
m	IN
n	A	192.0.2.1 )
o	CNAME	p
p	CNAME	o
q	DS	1 8 2 00
r	A	( 192.0.2.1
`
	want := []struct {
		line int
		rule Rule
	}{
		{2, RuleDirective},
		{3, RuleDirective},
		{4, RuleTTL},
		{5, RuleDirective},
		{6, RuleContent},
		{8, RuleCNAMEConflict},
		{9, RuleFileSyntax},
		{10, RuleContent},
		{11, RuleTypeUnsupported},
		{12, RuleClass},
		{13, RuleOutsideZone},
		{14, RuleProxiedAddress},
		{15, RuleName},
		{19, RuleRequired},
		{20, RuleTag},
		{21, RuleTarget},
		{22, RuleFileSyntax},
		{23, RuleFileSyntax},
		{24, RuleCNAMELoop},
		{25, RuleCNAMELoop},
		{26, RuleContent},
		{27, RuleFileSyntax},
	}
	_, err := ParseBIND(strings.NewReader(src), "example.com", FileOptions{})
	var refused *FileError
	if !errors.As(err, &refused) {
		t.Fatalf("error %v", err)
	}
	lines := strings.Split(src, "\n")
	for i, l := range refused.Lines {
		if i >= len(want) || l.Line != want[i].line || l.Rule != want[i].rule {
			t.Errorf("error %d: line %d %s: %s", i, l.Line, l.Rule, l.Message)
		}
		if l.Text != lines[l.Line-1] {
			t.Errorf("line %d shows %q", l.Line, l.Text)
		}
	}
	if len(refused.Lines) != len(want) {
		t.Errorf("%d errors, want %d", len(refused.Lines), len(want))
	}
}

func TestImportLimits(t *testing.T) {
	many := strings.Repeat("x A 300.1.1.1\n", 250)
	var b strings.Builder
	for i := range 3001 {
		fmt.Fprintf(&b, "h%d A 192.0.2.1\n", i)
	}
	for name, c := range map[string]struct {
		src  string
		rule Rule
		line int
		n    int
		more int
	}{
		"too large":       {strings.Repeat(";", MaxFileBytes+1), RuleFileTooLarge, 0, 1, 0},
		"too many":        {b.String(), RuleTooManyRecords, 3001, 1, 0},
		"many errors":     {many, RuleContent, 1, 100, 150},
		"utf-16":          {"\xff\xfe;\x00", RuleEncoding, 1, 1, 0},
		"zero byte":       {"a\x00b A 192.0.2.1", RuleFileSyntax, 1, 1, 0},
		"no owner":        {" A 192.0.2.1", RuleNoOwner, 1, 1, 0},
		"SOA of a host":   {"www.example.com SOA . . 1 1 1 1 1", RuleOutsideZone, 1, 1, 0},
		"other zone":      {"example.net. SOA . . 1 1 1 1 1", RuleOutsideZone, 1, 1, 0},
		"root origin":     {"$ORIGIN .\nwww A 192.0.2.1", RuleOutsideZone, 2, 1, 0},
		"escaped newline": {"a TXT \"x\\\ny\"\n", RuleFileSyntax, 1, 2, 0},
		"long name":       {strings.Repeat("a.", 130) + " A 192.0.2.1", RuleTooLong, 1, 1, 0},
		"long text":       {"a TXT \"" + strings.Repeat("x", MaxText+1) + `"`, RuleTooLong, 1, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseBIND(strings.NewReader(c.src), "example.com", FileOptions{})
			var refused *FileError
			if !errors.As(err, &refused) {
				t.Fatalf("error %v", err)
			}
			if l := refused.Lines[0]; l.Rule != c.rule || l.Line != c.line || len(refused.Lines) != c.n || refused.More != c.more {
				t.Errorf("%d errors and %d more, first %+v", len(refused.Lines), refused.More, l)
			}
		})
	}
	exactly := strings.TrimSuffix(b.String(), "h3000 A 192.0.2.1\n")
	if f, err := ParseBIND(strings.NewReader(exactly), "example.com", FileOptions{}); err != nil || len(f.Records) != 3000 {
		t.Errorf("3,000 records: %d, %v", len(f.Records), err)
	}
}

// An import is all or nothing, also where the conflict is with what the zone has.
func TestImportConflictsWithZone(t *testing.T) {
	z, _, err := New("example.com").Apply(Batch{Creates: []Record{
		{Name: "www", Type: "CNAME", Content: "x.example.net"},
		{Name: "old", Type: "A", Content: "192.0.2.1", Proxied: true, Comment: "keep"},
	}}, Limits{}, ids())
	if err != nil {
		t.Fatal(err)
	}
	after, _, err := z.Import(strings.NewReader("new A 192.0.2.9\n\nwww A 192.0.2.1\n"), FileOptions{}, Limits{}, ids())
	var refused *FileError
	if !errors.As(err, &refused) || len(refused.Lines) != 1 || refused.Lines[0].Line != 3 || refused.Lines[0].Text != "www A 192.0.2.1" {
		t.Fatalf("error %+v", err)
	}
	if after.Len() != 2 {
		t.Errorf("%d records after a refused import", after.Len())
	}
	after, done, err := z.Import(strings.NewReader("old 300 A 192.0.2.1\nnew A 192.0.2.9\n"), FileOptions{}, Limits{}, ids())
	if err != nil || len(done.Created) != 1 || done.Unchanged != 1 || len(done.Ignored.Listed) != 0 {
		t.Fatalf("%+v, %v", done, err)
	}
	if r := after.Records()[1]; !r.Proxied || r.Comment != "keep" || r.TTL != AutoTTL {
		t.Errorf("the zone's own record became %+v", r)
	}
	if _, _, err = z.Import(strings.NewReader("a A 192.0.2.1\nb A 192.0.2.1\n"), FileOptions{}, Limits{MaxRecords: 3}, ids()); err == nil {
		t.Error("an import over the zone's limit passed")
	}
}

// However many lines are left out, what was changed is told.
func TestImportNotesAreBounded(t *testing.T) {
	src := strings.Repeat("@ NS ns.example.net.\n", 150) + "a 10 A 192.0.2.1\n"
	_, done, err := New("example.com").Import(strings.NewReader(src), FileOptions{}, Limits{}, ids())
	if err != nil || len(done.Ignored.Listed) != 100 || done.Ignored.More != 50 {
		t.Fatalf("%d ignored and %d more, %v", len(done.Ignored.Listed), done.Ignored.More, err)
	}
	if w := done.Warnings.Listed; len(w) != 1 || w[0].Line != 151 || w[0].Rule != NoteTTL || done.Warnings.More != 0 {
		t.Errorf("warnings %+v", done.Warnings)
	}
}

func TestParseTTL(t *testing.T) {
	for in, want := range map[string]int64{
		"0": 0, "3600": 3600, "1h30m": 5400, "1H30M": 5400, "2d": 172800, "1w": 604800, "1m30": 90, "15s": 15,
		"": -1, "h": -1, "1x": -1, "1hh": -1, "-1": -1, "9999999999": -1, "99999w": -1, "1.5h": -1, "99999999999999999999999w": -1,
	} {
		got, ok := parseTTL(in)
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("parseTTL(%q) = %d, want %d", in, got, want)
		}
	}
}
