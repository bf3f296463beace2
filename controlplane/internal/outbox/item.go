package outbox

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

// Puts is what a change writes to. A change.Tx is one.
type Puts interface {
	Put(key string, m proto.Message) error
	Now() time.Time
}

// Put asks for work within a change. The ID, 1 to 200 letters, digits, dots and hyphens,
// tells work apart; an item of the same ID is replaced, done anew from now on, and no longer
// dead. The subject, such as an account's ID, is for operators.
func Put(tx Puts, id, kind, subject string, payload []byte) error {
	if id == "" || len(id) > 200 {
		return fmt.Errorf("outbox: an ID of %d bytes", len(id))
	}
	now := timestamppb.New(tx.Now())
	return tx.Put(resource.Outbox(id), &storev1.OutboxItem{
		Kind: kind, Payload: payload, Subject: subject, CreateTime: now, NextTime: now,
	})
}

// Retry makes an item due now, also a dead one.
func Retry(item *storev1.OutboxItem, now time.Time) {
	item.Dead, item.Attempts = false, 0
	item.CreateTime, item.NextTime = timestamppb.New(now), timestamppb.New(now)
}

// Item is what a handler gets.
type Item struct {
	// ID tells work apart.
	ID string
	// Subject is what it is about.
	Subject string
	// Payload is the work in its kind's own form.
	Payload []byte
	// Attempts is how often it failed in a row.
	Attempts int
}

// After is the outcome of a handler that has nothing to do before a time: the item stays.
func After(t time.Time) error { return afterError{t} }

type afterError struct{ t time.Time }

func (e afterError) Error() string { return "outbox: not before " + e.t.Format(time.RFC3339) }

// Dead is the outcome of a handler that no repeat can help.
func Dead(err error) error { return &deadError{err} }

type deadError struct{ cause error }

func (e *deadError) Error() string { return e.cause.Error() }

func (e *deadError) Unwrap() error { return e.cause }

// maxError bounds what is kept of an error.
const maxError = 1000

// settle changes an item to what an outcome makes of it. gone says that it is done.
func settle(item *storev1.OutboxItem, outcome error, now time.Time, pause func(attempts int) time.Duration, giveUp time.Duration) (gone bool) {
	var (
		after afterError
		dead  *deadError
	)
	switch {
	case outcome == nil:
		return true
	case errors.As(outcome, &after):
		item.Attempts, item.LastError = 0, ""
		// It is as if it were asked for then: failures count from there.
		item.CreateTime, item.NextTime = timestamppb.New(after.t), timestamppb.New(after.t)
		return false
	}
	item.Attempts++
	item.LastError = lastError(outcome)
	item.Dead = errors.As(outcome, &dead) || now.Sub(item.GetCreateTime().AsTime()) > giveUp
	item.NextTime = timestamppb.New(now.Add(pause(int(item.GetAttempts()))))
	return false
}

// lastError is what is kept of an error. What others answer, such as mail servers, may be in
// any encoding, and only UTF-8 can be stored.
func lastError(err error) string {
	text := err.Error()
	return strings.ToValidUTF8(text[:min(len(text), maxError)], "\uFFFD")
}
