package stripe

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// MaxBody is the largest webhook that is read; Stripe's events are some kilobytes.
const MaxBody = 256 << 10

// Tolerance is how far an event's signature may be from now, in both directions: a recorded
// request can't be used for longer, and a clock that is wrong is found.
const Tolerance = 5 * time.Minute

const (
	maxHeader     = 4 << 10
	maxSignatures = 16
)

// Why a webhook is refused.
var (
	// ErrTooLarge says that the body is larger than [MaxBody].
	ErrTooLarge = errors.New("stripe: the webhook is too large")
	// ErrMalformed says that the header or the body is not of the form that Stripe sends.
	ErrMalformed = errors.New("stripe: the webhook is malformed")
	// ErrSignature says that no signature is by one of the secrets: it is not from Stripe.
	ErrSignature = errors.New("stripe: the webhook's signature is wrong")
	// ErrTooOld says that the signature was right once, and is older than the tolerance.
	ErrTooOld = errors.New("stripe: the webhook was signed too long ago")
	// ErrFuture says that the signature is dated past the tolerance: a clock is wrong.
	ErrFuture = errors.New("stripe: the webhook was signed in the future")
)

// ParseEvent verifies a webhook and returns what it is about. The header is Stripe-Signature
// (https://docs.stripe.com/webhooks/signature): a time, and signatures of which one must be
// by one of the secrets, so that secrets can be rotated. Only the scheme v1 counts. Nothing
// in the body is looked at, and nothing is told of its age, before a signature is right.
//
// An event of a type that means nothing to us comes back without a customer. It never blocks
// and may be called concurrently.
func ParseEvent(body []byte, header string, secrets []string, now time.Time, tolerance time.Duration) (Event, error) {
	if len(body) > MaxBody {
		return Event{}, ErrTooLarge
	}
	signed, signatures, err := parseHeader(header)
	if err != nil {
		return Event{}, err
	}
	if !verified(body, signed.text, signatures, secrets) {
		return Event{}, ErrSignature
	}
	switch age := now.Sub(signed.at); {
	case age > tolerance:
		return Event{}, fmt.Errorf("%w: %s ago", ErrTooOld, age.Round(time.Second))
	case age < -tolerance:
		return Event{}, fmt.Errorf("%w: %s ahead", ErrFuture, (-age).Round(time.Second))
	}
	return parseBody(bytes.TrimSpace(body))
}

// timestamp is a signature's time, also as it was written: that is what is signed.
type timestamp struct {
	text string
	at   time.Time
}

func parseHeader(header string) (timestamp, [][]byte, error) {
	if header == "" || len(header) > maxHeader {
		return timestamp{}, nil, fmt.Errorf("%w: no Stripe-Signature of a sensible length", ErrMalformed)
	}
	var (
		signed     timestamp
		signatures [][]byte
	)
	for part := range strings.SplitSeq(header, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok {
			return timestamp{}, nil, fmt.Errorf("%w: Stripe-Signature", ErrMalformed)
		}
		switch name {
		case "t":
			seconds, err := strconv.ParseInt(value, 10, 64)
			if err != nil || signed.text != "" || seconds < 0 || seconds > maxSeconds {
				return timestamp{}, nil, fmt.Errorf("%w: the time in Stripe-Signature", ErrMalformed)
			}
			signed = timestamp{value, time.Unix(seconds, 0)}
		case "v1":
			// One that is no signature is none; others of them may be right.
			if sum, err := hex.DecodeString(value); err == nil && len(sum) == sha256.Size {
				signatures = append(signatures, sum)
			}
		}
		if len(signatures) > maxSignatures {
			return timestamp{}, nil, fmt.Errorf("%w: too many signatures", ErrMalformed)
		}
	}
	if signed.text == "" {
		return timestamp{}, nil, fmt.Errorf("%w: no time in Stripe-Signature", ErrMalformed)
	}
	return signed, signatures, nil
}

// maxSeconds keeps differences of times within a Duration's range: the year 2200 or so.
const maxSeconds = 7_258_118_400

// verified looks at every pair of secret and signature, so that how long it takes says
// nothing of which one is right.
func verified(body []byte, signed string, signatures [][]byte, secrets []string) bool {
	found := false
	for _, secret := range secrets {
		if secret == "" {
			continue // Anyone can sign with nothing.
		}
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(signed))
		mac.Write([]byte{'.'})
		mac.Write(body)
		sum := mac.Sum(nil)
		for _, signature := range signatures {
			if hmac.Equal(sum, signature) {
				found = true
			}
		}
	}
	return found
}
