package domain

import (
	"errors"
	"strings"
	"testing"
)

func TestParseCanonicalises(t *testing.T) {
	long := strings.Repeat("a", 63)
	for in, want := range map[string]string{
		"example.com":                   "example.com",
		"Example.COM.":                  "example.com",
		"bücher.example":                "xn--bcher-kva.example",
		"BÜCHER.example":                "xn--bcher-kva.example",
		"xn--bcher-kva.example":         "xn--bcher-kva.example",
		"XN--BCHER-KVA.example":         "xn--bcher-kva.example",
		"faß.de":                        "xn--fa-hia.de",
		"例え。jp":                         "xn--r8jz45g.jp",
		"ｅｘａｍｐｌｅ．com":                   "example.com",
		"shop.test":                     "shop.test",
		"www.shop.example":              "www.shop.example",
		"a.b.co.uk":                     "a.b.co.uk",
		"1.example.net":                 "1.example.net",
		"1-2-3.example.net":             "1-2-3.example.net",
		long + ".example":               long + ".example",
		"foo.github.io":                 "foo.github.io",
		"example.org":                   "example.org",
		"xn--mgbh0fb.xn--kgbechtv.test": "xn--mgbh0fb.xn--kgbechtv.test",
	} {
		d, err := Parse(in)
		if err != nil {
			t.Errorf("Parse(%q): %v", in, err)
			continue
		}
		if d.String() != want {
			t.Errorf("Parse(%q) = %q, want %q", in, d, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	policy := Policy{OwnZones: []string{"breakwater.example"}}
	long := strings.Repeat("a", 60)
	for in, want := range map[string]Rule{
		"":                               RuleEmpty,
		".":                              RuleEmpty,
		strings.Repeat("a.", 1000):       RuleTooLong,
		strings.Repeat(long+".", 5):      RuleTooLong,
		"*.example.com":                  RuleWildcard,
		"192.0.2.1":                      RuleIPAddress,
		"2001:db8::1":                    RuleIPAddress,
		"[2001:db8::1]":                  RuleIPAddress,
		"1.2.3.4.5":                      RuleIPAddress,
		"192.0.2.1.":                     RuleIPAddress,
		"a_b.example.com":                RuleUnderscore,
		"https://example.com/":           RuleCharacters,
		"example.com:443":                RuleCharacters,
		"exam ple.com":                   RuleCharacters,
		"-a.example":                     RuleCharacters,
		"a-.example":                     RuleCharacters,
		"exa$mple.com":                   RuleCharacters,
		"a..example.com":                 RuleEmptyLabel,
		".example.com":                   RuleEmptyLabel,
		"example.com..":                  RuleEmptyLabel,
		strings.Repeat("a", 64) + ".com": RuleLabelTooLong,
		"xn--zzzzzz-.example":            RuleIDNA,
		"a\u200d.example":                RuleIDNA,
		"localhost":                      RuleReserved,
		"a.localhost":                    RuleReserved,
		"printer.local":                  RuleReserved,
		"x.invalid":                      RuleReserved,
		"x.onion":                        RuleReserved,
		"router.home.arpa":               RuleReserved,
		"2.0.192.in-addr.arpa":           RuleReserved,
		"db.internal":                    RuleReserved,
		"com":                            RuleSingleLabel,
		"test":                           RuleSingleLabel,
		"breakwater.example":             RuleOwnZone,
		"ns1.breakwater.example":         RuleOwnZone,
		"co.uk":                          RulePublicSuffix,
		"github.io":                      RulePublicSuffix,
	} {
		_, err := policy.Parse(in)
		var refused *Error
		if !errors.As(err, &refused) {
			t.Errorf("Parse(%q): error %v, want an *Error", in, err)
			continue
		}
		if refused.Rule != want {
			t.Errorf("Parse(%q): rule %s (%s), want %s", in, refused.Rule, refused.Message, want)
		}
		if refused.Message == "" || len(refused.Input) > maxInputShown {
			t.Errorf("Parse(%q): bad report %+v", in, refused)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"example.com", "BÜCHER.example.", "例え。jp", "xn--a.com", "*.a.b", "1.2.3.4", "a\u0301.test", "-", "ـ.test"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := Parse(s)
		if err != nil {
			var refused *Error
			if !errors.As(err, &refused) || refused.Rule == "" || refused.Message == "" {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		name := d.String()
		if len(name) > MaxLength || strings.ToLower(name) != name || strings.HasSuffix(name, ".") || !strings.Contains(name, ".") {
			t.Fatalf("%q is not canonical", name)
		}
		again, err := Parse(name)
		if err != nil || again != d {
			t.Fatalf("%q parses to %q, %v", name, again, err)
		}
		shown, err := Parse(d.Unicode())
		if err != nil || shown != d {
			t.Fatalf("%q shows as %q, which parses to %q, %v", name, d.Unicode(), shown, err)
		}
		if r := d.RegistrableDomain(); r.IsZero() || r != d && !r.IsAncestorOf(d) {
			t.Fatalf("%q has the registrable domain %q", d, r)
		}
	})
}
