package payments

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/billing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

// Bounds of one delivery.
const (
	maxEventBytes = 256 << 10
	maxEventID    = 200
	// answerWithin bounds the work of one delivery: who sends it waits a few seconds, and
	// sends it again when there is no answer.
	answerWithin = 10 * time.Second
)

// Event is what of a delivery matters: it is a hint that the provider knows something new,
// and never a source of state.
type Event struct {
	// ID tells events apart.
	ID string
	// Type is the event's type in Stripe's terms, such as `invoice.paid`.
	Type string
	// Customer is whom it is about; empty where it is about nobody, or says nothing.
	Customer string
}

// Verifier checks the signature of a delivery, at a time, and takes it apart. Every error
// refuses the delivery.
type Verifier func(payload []byte, header http.Header, now time.Time) (Event, error)

// Asker has the provider asked again. A [billing.Engine] is one.
type Asker interface {
	Ask(tx billing.Tx, needCustomer bool) error
}

// WebhookConfig is what a Webhook needs.
type WebhookConfig struct {
	Payments *Payments
	Verify   Verifier
	Engine   Asker
	// Now is the time by which signatures are judged.
	Now     func() time.Time
	Logger  *slog.Logger
	Metrics *Metrics
}

// Webhook takes the provider's events: it verifies one, and in one transaction remembers its
// ID, notes in the account's record that the provider must be asked, and asks for the work.
// It answers 200 for what is taken, was taken before, or concerns nobody here; 400 for what
// is not authentic, 413 for what is too large, and 503 when the store does not answer, so
// that the event is sent again.
type Webhook struct{ cfg WebhookConfig }

// NewWebhook makes a Webhook.
func NewWebhook(cfg WebhookConfig) *Webhook { return &Webhook{cfg: cfg} }

var _ http.Handler = (*Webhook)(nil)

// ServeHTTP implements [http.Handler].
func (h *Webhook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), answerWithin)
	defer cancel()
	status, outcome := h.take(ctx, w, r)
	h.cfg.Metrics.delivered(outcome)
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, outcome, status)
}

// What becomes of deliveries, in answers and metrics.
const (
	outcomeTaken    = "taken"
	outcomeRepeated = "repeated"
	outcomeIgnored  = "ignored"
	outcomeRefused  = "refused"
	outcomeTooLarge = "too large"
	outcomeFailed   = "failed"
)

func (h *Webhook) take(ctx context.Context, w http.ResponseWriter, r *http.Request) (status int, outcome string) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEventBytes))
	if err != nil {
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			return http.StatusRequestEntityTooLarge, outcomeTooLarge
		}
		return http.StatusBadRequest, outcomeRefused
	}
	event, err := h.cfg.Verify(body, r.Header, h.cfg.Now())
	switch {
	case err != nil:
		h.cfg.Logger.WarnContext(ctx, "a webhook was refused", "cause", err)
		return http.StatusBadRequest, outcomeRefused
	case event.ID == "" || len(event.ID) > maxEventID:
		return http.StatusBadRequest, outcomeRefused
	case event.Customer == "":
		return http.StatusOK, outcomeIgnored
	}
	account, err := h.cfg.Payments.account(ctx, event.Customer)
	if err == nil && account == "" {
		return http.StatusOK, outcomeIgnored
	}
	if err == nil {
		outcome, err = h.note(ctx, account, event)
	}
	if err != nil {
		h.cfg.Logger.WarnContext(ctx, "a webhook could not be taken", "event", event.ID, "cause", err)
		return http.StatusServiceUnavailable, outcomeFailed
	}
	return http.StatusOK, outcome
}

// note remembers the event and has the provider asked, in one transaction.
func (h *Webhook) note(ctx context.Context, account string, event Event) (outcome string, err error) {
	ctx = call.With(ctx, call.Info{FullMethod: "TakeWebhook"})
	p, key := h.cfg.Payments, resource.SeenEvent(event.ID)
	_, err = change.Do(ctx, p.cfg.Writer, resource.ForAccount(account), func(tx *change.Tx) (*storev1.SeenEvent, error) {
		seen := &storev1.SeenEvent{}
		known, err := get(tx, key, seen)
		if err != nil {
			return nil, err
		}
		if outcome = outcomeRepeated; known {
			return seen, nil
		}
		outcome = outcomeTaken
		seen.Time = timestamppb.New(tx.Now())
		if err := p.Within(tx, account, func(b billing.Tx) error {
			if b.Record().GetCustomer() != event.Customer {
				outcome = outcomeIgnored // The index is older than the record.
				return nil
			}
			return h.cfg.Engine.Ask(b, false)
		}); err != nil {
			return nil, err
		}
		return seen, tx.PutKept(key, seen)
	})
	return outcome, err
}
