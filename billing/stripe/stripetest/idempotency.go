package stripetest

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

// keyLife is how long an idempotency key is remembered: Stripe may forget it after 24 hours
// (https://docs.stripe.com/api/idempotent_requests), and this does, to the moment.
const keyLife = 24 * time.Hour

// keyring remembers the first answer of each idempotency key. What was refused before
// anything was tried, and rate limits, are not remembered.
type keyring struct {
	mu      sync.Mutex
	entries map[string]*keyEntry
}

type keyEntry struct {
	request string
	since   time.Time
	done    bool
	answer  answer
}

// begin takes a key for a request, or returns the answer that the key already has for it.
func (k *keyring) begin(key, request string, now time.Time) (*keyEntry, *answer) {
	if key == "" {
		return nil, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(key) > 255 {
		a := fail(earlyProblem("", "", "Idempotency keys can be up to 255 characters long."))
		return nil, &a
	}
	entry := k.entries[key]
	switch {
	case entry == nil || now.Sub(entry.since) >= keyLife && entry.done:
		entry = &keyEntry{request: request, since: now}
		k.entries[key] = entry
		return entry, nil
	case entry.request != request:
		a := fail(&apiError{
			status: http.StatusBadRequest, kind: "idempotency_error", early: true,
			words: fmt.Sprintf("Keys for idempotent requests can only be used with the same parameters they were first "+
				"used with. Try using a key other than '%s' if you meant to execute a different request.", key),
		})
		return nil, &a
	case !entry.done:
		a := fail(&apiError{
			status: http.StatusConflict, kind: "idempotency_error", code: "idempotency_key_in_use", early: true,
			words: "There is currently another in-progress request using this key. Please try again later.",
		})
		return nil, &a
	default:
		a := entry.answer
		a.replayed, a.lost = true, false
		return nil, &a
	}
}

// end keeps the answer, or gives the key free.
func (k *keyring) end(key string, entry *keyEntry, a answer) {
	if entry == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !a.keep {
		delete(k.entries, key)
		return
	}
	entry.done, entry.answer = true, a
}
