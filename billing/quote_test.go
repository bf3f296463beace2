package billing

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"
)

var testKey = []byte("0123456789abcdef")

func TestQuote(t *testing.T) {
	s := ready(t, "a.test", "b.test")
	q, err := s.engine.Preview(t.Context(), account, "a.test", "pro")
	if err != nil {
		t.Fatal(err)
	}
	if q.DueNow != 2000 || q.NextInvoice != 2000 || len(q.Lines) != 1 || q.Lines[0].Amount != 2000 ||
		!q.NextInvoiceTime.Equal(shopOpens.AddDate(0, 1, 0)) || !q.Effective.Equal(shopOpens) ||
		!q.Expires.Equal(shopOpens.Add(15*time.Minute)) {
		t.Errorf("%+v", q)
	}
	s.must(s.decide(func(tx Tx) error { return s.engine.Change(tx, "a.test", "pro", q.Token) }))
	s.settle()
	s.on("a.test", "pro", "")
	s.pass(31 * 24 * time.Hour / 2)

	q, err = s.engine.Preview(t.Context(), account, "a.test", "business")
	if err != nil {
		t.Fatal(err)
	}
	if q.DueNow != 9000 || q.NextInvoice != 20000 || len(q.Lines) != 2 {
		t.Errorf("%+v", q)
	}
	s.clock.Advance(14 * time.Minute)
	s.must(s.decide(func(tx Tx) error { return s.engine.Change(tx, "a.test", "business", q.Token) }))
	s.settle()
	if got := s.till.total(); got != 2000+9000 {
		t.Errorf("charged %d: the quote's time counts", got)
	}

	q, err = s.engine.Preview(t.Context(), account, "a.test", "pro")
	if err != nil {
		t.Fatal(err)
	}
	if q.DueNow != 0 || q.NextInvoice != 2000 || len(q.Lines) != 0 || !q.Effective.Equal(shopOpens.AddDate(0, 1, 0)) {
		t.Errorf("%+v", q)
	}
	q, err = s.engine.Preview(t.Context(), account, "a.test", "free")
	if err != nil {
		t.Fatal(err)
	}
	if q.DueNow != 0 || q.NextInvoice != 0 || !q.NextInvoiceTime.IsZero() {
		t.Errorf("%+v", q)
	}
}

// TestQuoteBeforeTheProviderKnows quotes an upgrade that restores a fall first: the provider
// would count from what it has.
func TestQuoteBeforeTheProviderKnows(t *testing.T) {
	s := ready(t, "a.test", "b.test")
	s.must(s.change("a.test", "business"))
	s.settle()
	s.must(s.change("a.test", "pro"))
	s.settle()
	s.pass(31 * 24 * time.Hour / 2)
	q, err := s.engine.Preview(t.Context(), account, "a.test", "enterprise")
	if err != nil {
		t.Fatal(err)
	}
	if q.DueNow != 150000-10000 || len(q.Lines) != 2 {
		t.Errorf("%+v", q)
	}
	charged := s.till.total()
	s.must(s.decide(func(tx Tx) error { return s.engine.Change(tx, "a.test", "enterprise", q.Token) }))
	s.settle()
	if got := s.till.total() - charged; got != q.DueNow {
		t.Errorf("charged %d for a quote of %d", got, q.DueNow)
	}
	s.agrees()
}

func TestQuotesThatDoNotHold(t *testing.T) {
	s := ready(t, "a.test", "b.test", "c.test")
	s.must(s.change("a.test", "pro"))
	s.settle()
	take := func(site, plan, token string) error {
		return s.decide(func(tx Tx) error { return s.engine.Change(tx, site, plan, token) })
	}
	q, err := s.engine.Preview(t.Context(), account, "b.test", "pro")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(q.Token)
	if err != nil {
		t.Fatal(err)
	}
	raw[40] ^= 1
	other, err := quoteToken{Account: account, Site: "b.test", From: "free", To: "pro"}.sign([]byte("another key here"))
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := quoteToken{
		Account: "globex", Site: "b.test", From: "free", To: "pro", Generation: s.record.GetGeneration(),
		ToPrice: 2000, Prorate: shopOpens.Unix(), Expires: shopOpens.Add(time.Hour).Unix(),
	}.sign(testKey)
	if err != nil {
		t.Fatal(err)
	}
	repriced, err := quoteToken{
		Account: account, Site: "b.test", From: "free", To: "pro", Generation: s.record.GetGeneration(),
		ToPrice: 1000, Prorate: shopOpens.Unix(), Expires: shopOpens.Add(time.Hour).Unix(),
	}.sign(testKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ site, plan, token string }{
		"no token":         {"b.test", "pro", "x"},
		"another site":     {"c.test", "pro", q.Token},
		"another plan":     {"b.test", "business", q.Token},
		"changed":          {"b.test", "pro", base64.RawURLEncoding.EncodeToString(raw)},
		"another key":      {"b.test", "pro", other},
		"another account":  {"b.test", "pro", foreign},
		"another price":    {"b.test", "pro", repriced},
		"padding":          {"b.test", "pro", q.Token + "="},
		"too long":         {"b.test", "pro", strings.Repeat("A", 5000)},
		"only a signature": {"b.test", "pro", base64.RawURLEncoding.EncodeToString(quoteMAC(testKey, nil))},
	} {
		if err := take(c.site, c.plan, c.token); !errors.Is(err, ErrQuoteStale) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.clock.Advance(15 * time.Minute)
	if err := take("b.test", "pro", q.Token); !errors.Is(err, ErrQuoteExpired) {
		t.Errorf("after 15 minutes: %v", err)
	}
	if q, err = s.engine.Preview(t.Context(), account, "b.test", "pro"); err != nil {
		t.Fatal(err)
	}
	s.must(s.cancel("a.test")) // Another dashboard.
	if err := take("b.test", "pro", q.Token); !errors.Is(err, ErrQuoteStale) {
		t.Errorf("after another change: %v", err)
	}
	if s.record.GetMove() != nil {
		t.Error("a refused quote began a change")
	}
}

func FuzzQuote(f *testing.F) {
	good, err := quoteToken{Account: account, Site: "a.test", From: "free", To: "pro", Expires: 1}.sign(testKey)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("")
	f.Add("AAAA")
	f.Add(base64.RawURLEncoding.EncodeToString(append(quoteMAC(testKey, []byte("{}{}")), "{}{}"...)))
	f.Fuzz(func(t *testing.T, token string) {
		q, err := parseQuote(testKey, token)
		if err != nil {
			if !errors.Is(err, ErrQuoteStale) || q != (quoteToken{}) {
				t.Errorf("%v, %+v", err, q)
			}
			return
		}
		if again, err := q.sign(testKey); err != nil || again != token {
			t.Errorf("%q is read as %q", token, again)
		}
	})
}
