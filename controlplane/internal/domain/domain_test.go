package domain

import (
	"slices"
	"testing"
)

func mustParse(t *testing.T, s string) Domain {
	t.Helper()
	d, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestRegistrable(t *testing.T) {
	for in, want := range map[string]string{
		"example.com":       "example.com",
		"www.example.com":   "example.com",
		"a.b.example.co.uk": "example.co.uk",
		"shop.test":         "shop.test",
		"www.shop.test":     "shop.test",
		"foo.github.io":     "foo.github.io",
		"bar.foo.github.io": "foo.github.io",
	} {
		d := mustParse(t, in)
		if got := d.RegistrableDomain().String(); got != want {
			t.Errorf("%s: registrable domain %q, want %q", in, got, want)
		}
		if d.Registrable() != (in == want) {
			t.Errorf("%s: Registrable() = %t", in, d.Registrable())
		}
	}
	if got := mustParse(t, "a.b.example.co.uk").PublicSuffix(); got != "co.uk" {
		t.Errorf("public suffix %q", got)
	}
	if (Domain{}).Registrable() {
		t.Error("the zero domain is registrable")
	}
}

func TestAncestry(t *testing.T) {
	top, mid, low := mustParse(t, "example.com"), mustParse(t, "a.example.com"), mustParse(t, "b.a.example.com")
	other := mustParse(t, "badexample.com")
	if !top.IsAncestorOf(mid) || !top.IsAncestorOf(low) || top.IsAncestorOf(top) || mid.IsAncestorOf(top) {
		t.Error("IsAncestorOf is wrong within a line")
	}
	if top.IsAncestorOf(other) || (Domain{}).IsAncestorOf(top) {
		t.Error("IsAncestorOf is wrong outside a line")
	}
	if !top.Related(low) || !low.Related(top) || !top.Related(top) || top.Related(other) || (Domain{}).Related(Domain{}) {
		t.Error("Related is wrong")
	}
	var got []string
	for a := range low.Ancestors() {
		got = append(got, a.String())
	}
	if !slices.Equal(got, []string{"a.example.com", "example.com"}) {
		t.Errorf("ancestors %v", got)
	}
	for a := range top.Ancestors() {
		t.Errorf("a registrable domain has the ancestor %s", a)
	}
	if got := low.ReverseKey(); got != "com.example.a.b." {
		t.Errorf("reverse key %q", got)
	}
}

func TestDisplay(t *testing.T) {
	d := mustParse(t, "xn--bcher-kva.example")
	if d.Unicode() != "bücher.example" || Display(d.String()) != "bücher.example" {
		t.Errorf("shown as %q and %q", d.Unicode(), Display(d.String()))
	}
	if got := Display("_dmarc.xn--zz"); got != "_dmarc.xn--zz" {
		t.Errorf("an invalid name shown as %q", got)
	}
}
