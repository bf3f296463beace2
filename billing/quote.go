package billing

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
)

// quoteDomain keeps a quote's signature from being one of anything else under the same key.
const quoteDomain = "breakwater billing quote 1\x00"

// maxQuote bounds what is decoded.
const maxQuote = 4096

// quoteToken is what a quote promises. It is not stored: the token carries it, signed.
type quoteToken struct {
	Account string `json:"a"`
	Site    string `json:"s"`
	From    string `json:"f"`
	To      string `json:"t"`
	// Generation is the record's: whatever is bought or falls ends a quote.
	Generation int64 `json:"g"`
	// FromPrice and ToPrice are the plans' prices, in cents.
	FromPrice int64 `json:"x"`
	ToPrice   int64 `json:"y"`
	// Prorate and Expires are in seconds since 1970.
	Prorate int64 `json:"p"`
	Expires int64 `json:"e"`
	// DueNow is in cents.
	DueNow int64 `json:"d"`
	// Balance is the account's, which DueNow is after.
	Balance int64 `json:"b"`
}

// sign makes the token: the signature, then the promise as JSON, in base64url.
func (q quoteToken) sign(key []byte) (string, error) {
	text, err := json.Marshal(q)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(append(quoteMAC(key, text), text...)), nil
}

// parseQuote returns what a token promises. One that this key did not sign promises nothing,
// which is the same to its bearer as one that does not hold any more.
func parseQuote(key []byte, token string) (quoteToken, error) {
	if len(token) > maxQuote || strings.ContainsAny(token, "\r\n") { // The decoder skips those.
		return quoteToken{}, ErrQuoteStale
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) < sha256.Size {
		return quoteToken{}, ErrQuoteStale
	}
	mac, text := raw[:sha256.Size], raw[sha256.Size:]
	if !hmac.Equal(mac, quoteMAC(key, text)) {
		return quoteToken{}, ErrQuoteStale
	}
	var q quoteToken
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&q); err != nil {
		return quoteToken{}, ErrQuoteStale
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return quoteToken{}, ErrQuoteStale
	}
	return q, nil
}

func quoteMAC(key, text []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(quoteDomain))
	mac.Write(text)
	return mac.Sum(nil)
}

// holds says whether a quote still promises what the change would cost now.
func (e *Engine) holds(rec *storev1.BillingRecord, q quoteToken, site, plan string, now time.Time) error {
	s, plans := e.rules.site(rec, site), e.rules.plans
	end := at(rec.GetSeen().GetPeriodEnd())
	switch {
	case q.Account != rec.GetAccount() || q.Site != site || q.To != plan:
		return ErrQuoteStale
	case now.Unix() >= q.Expires:
		return ErrQuoteExpired
	case q.Generation != rec.GetGeneration() || q.From != s.GetPlan():
		return ErrQuoteStale
	case q.FromPrice != plans.price(q.From) || q.ToPrice != plans.price(plan):
		return ErrQuoteStale
	case rec.GetSeen().GetBalance() > q.Balance:
		return ErrQuoteStale // There is less credit than there was.
	case live(rec) && q.Prorate < end.Unix() && !now.Before(end):
		return ErrQuoteStale // It is for a month that has ended, renewed or not.
	}
	return nil
}
