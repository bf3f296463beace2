package internet

import (
	"errors"
	"testing"
)

// ruleOf is the rule of a problem, with a mark where the text is impossible.
func ruleOf(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var problem *Problem
	if !errors.As(err, &problem) || problem.Reason == "" {
		t.Fatalf("an error of another kind: %v", err)
	}
	if problem.Impossible {
		return problem.Rule + "!"
	}
	return problem.Rule
}

func TestSource(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.0/24": "", "2001:db8::/32": "", "0.0.0.0/0": "",
		"999.0.0.0/8": "cidr", "1.2.3.4": "cidr", "192.0.2.1/24": "cidr", "2001:DB8::/32": "cidr", "": "cidr",
		"10.0.0.0/8": "source!", "::ffff:c000:200/120": "source!", "4000::/16": "source!",
	} {
		if _, err := Source(text); ruleOf(t, err) != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestCheckURL(t *testing.T) {
	for text, want := range map[string]string{
		"https://shop.example/preload.json": "", "http://203.0.113.7:8080/x?y": "", "https://[2001:db8::1]/": "",
		"": "url", "shop.example/x": "url", "ftp://shop.example/x": "url", "https://u:p@shop.example/": "url", "https://shop.example/#a": "url",
		"https://shop.example:0/": "url", "https://shop.example:70000/": "url", "https://": "host", "https://shop/x": "host", "http://999.0.0.1/": "host",
		"http://10.0.0.1/x": "public_address!", "http://[::1]/": "public_address!", "http://169.254.169.254/": "public_address!",
		"http://[::ffff:10.0.0.1]/": "public_address!", "http://db.internal/": "public_name!",
	} {
		if err := CheckURL(text); ruleOf(t, err) != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func FuzzCheckURL(f *testing.F) {
	f.Add("https://shop.example/preload.json")
	f.Add("http://[::ffff:10.0.0.1%25eth0]:80/")
	f.Fuzz(func(t *testing.T, text string) {
		ruleOf(t, CheckURL(text))
		if host, ok := HostName(text); ok {
			if again, ok := HostName(host); !ok || again != host {
				t.Errorf("%q is %q, which is %q, %v", text, host, again, ok)
			}
		}
	})
}
