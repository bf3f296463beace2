package stripetest

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Sign returns the Stripe-Signature header of a payload that is sent at a time, with one
// signature for each secret, as while secrets are rotated
// (https://docs.stripe.com/webhooks#verify-manually).
func Sign(payload []byte, at time.Time, secrets ...string) string {
	stamp := strconv.FormatInt(at.Unix(), 10)
	parts := []string{"t=" + stamp}
	for _, secret := range secrets {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(stamp + "."))
		mac.Write(payload)
		parts = append(parts, "v1="+hex.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(parts, ",")
}

// Endpoint is where webhooks go.
type Endpoint struct {
	URL    string
	Secret string
	// Client sends them; [http.DefaultClient] when nil.
	Client *http.Client
}

// Deliver sends events in the order in which they are given, each signed now, and returns
// the first that was not accepted with a status below 300. An event may be sent any number
// of times.
func (s *Server) Deliver(ctx context.Context, to Endpoint, events ...Event) error {
	client := to.Client
	if client == nil {
		client = http.DefaultClient
	}
	for _, e := range events {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, to.URL, bytes.NewReader(e.Payload))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/json; charset=utf-8")
		r.Header.Set("Stripe-Signature", Sign(e.Payload, s.clock.Now(), to.Secret))
		response, err := client.Do(r)
		if err != nil {
			return err
		}
		_ = response.Body.Close() // Stripe looks at the status only.
		if response.StatusCode >= http.StatusMultipleChoices {
			return fmt.Errorf("stripetest: %s %s: status %d", e.Type, e.ID, response.StatusCode)
		}
	}
	return nil
}
