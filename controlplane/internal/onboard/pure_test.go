package onboard

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestNextCheck(t *testing.T) {
	s := Production()
	mid := func() float64 { return 0.5 }
	for attempt, want := range map[int]time.Duration{
		0: time.Minute, 1: 2 * time.Minute, 2: 4 * time.Minute, 3: 8 * time.Minute, 5: 32 * time.Minute,
		6: time.Hour, 7: time.Hour, 1 << 40: time.Hour,
	} {
		if got := s.NextCheck(attempt, mid); got != want {
			t.Errorf("attempt %d: %v, want %v", attempt, got, want)
		}
	}
	if got := Development().NextCheck(0, mid); got != time.Second {
		t.Errorf("first check in development after %v", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		attempt := rapid.IntRange(1, 700).Draw(t, "attempt")
		r := rapid.Float64Range(0, 1).Draw(t, "random")
		got, plain := s.NextCheck(attempt, func() float64 { return r }), s.NextCheck(attempt, mid)
		if got < plain*8/10 || got > plain*12/10 {
			t.Fatalf("%v is too far from %v", got, plain)
		}
		if a := s.NextActiveCheck(func() float64 { return r }); a < s.Active*8/10 || a > s.Active*12/10 {
			t.Fatalf("active after %v", a)
		}
	})
}

func TestVerificationToken(t *testing.T) {
	secret := []byte("0123456789abcdef")
	token := VerificationToken("acme", "example.com", secret)
	if token != VerificationToken("acme", "example.com", secret) || len(token) != 36 || strings.ToLower(token) != token {
		t.Errorf("token %q", token)
	}
	for _, other := range []string{
		VerificationToken("acm", "eexample.com", secret),
		VerificationToken("acme", "example.org", secret),
		VerificationToken("other", "example.com", secret),
		VerificationToken("acme", "example.com", []byte("fedcba9876543210")),
	} {
		if other == token {
			t.Errorf("another input gives the same token %q", token)
		}
	}
	if v := TXTVerification("example.com", token); v != (Verification{"TXT", "_breakwater.example.com", token}) {
		t.Errorf("%+v", v)
	}
	if v := CNAMEVerification("example.com", token, "verify.cdn.example"); v != (Verification{"CNAME", "_breakwater.example.com", token + ".verify.cdn.example"}) {
		t.Errorf("%+v", v)
	}
}

func poolOf(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("n%d.ns.cdn.example", i)
	}
	return out
}

func TestAssignNameServers(t *testing.T) {
	pool := poolOf(5)
	first, err := AssignNameServers(pool, "acme", "example.com", nil)
	if err != nil || first[0] == first[1] {
		t.Fatalf("%v, %v", first, err)
	}
	again, err := AssignNameServers(pool, "acme", "example.com", nil)
	if err != nil || again != first {
		t.Errorf("%v after %v, %v", again, first, err)
	}
	// Every pair is given out once, whichever way round the taken ones are written.
	var taken [][2]string
	for i := range 10 {
		p, err := AssignNameServers(pool, fmt.Sprintf("account-%d", i), "example.com", taken)
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(taken, p) || slices.Contains(taken, [2]string{p[1], p[0]}) {
			t.Fatalf("%v was given twice", p)
		}
		if i%2 == 0 {
			p[0], p[1] = p[1], p[0]
		}
		taken = append(taken, p)
	}
	if _, err := AssignNameServers(pool, "last", "example.com", taken); !errors.Is(err, ErrNoNameServers) {
		t.Errorf("error %v", err)
	}
	for n := range 2 {
		if _, err := AssignNameServers(poolOf(n), "a", "b", nil); !errors.Is(err, ErrNoNameServers) {
			t.Errorf("a pool of %d: %v", n, err)
		}
	}
	if _, err := AssignNameServers([]string{"same", "same"}, "a", "b", nil); !errors.Is(err, ErrNoNameServers) {
		t.Errorf("a pool of one twice: %v", err)
	}
}

func TestAssignNameServersSpreads(t *testing.T) {
	pool := poolOf(6)
	count := map[[2]string]int{}
	for i := range 3000 {
		p, err := AssignNameServers(pool, "acme", fmt.Sprintf("d%d.example", i), nil)
		if err != nil {
			t.Fatal(err)
		}
		count[p]++
	}
	if len(count) != 15 {
		t.Fatalf("%d pairs of 15 are used", len(count))
	}
	for p, n := range count {
		if n < 120 || n > 280 {
			t.Errorf("%v is used %d times of 3000", p, n)
		}
	}
}

func TestKindsAreTemporaryOrNot(t *testing.T) {
	for k, want := range map[Kind]bool{
		OK: false, NotDelegated: false, NoRecord: false, Mismatch: false, NXDomain: false, CNAMELoop: false,
		ServFail: true, Refused: true, Lame: true, Timeout: true, Unreachable: true, Malformed: true, "NEW": true,
	} {
		if k.Temporary() != want {
			t.Errorf("%s: temporary is %t", k, !want)
		}
	}
}
