package audit

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// Verify recomputes the chain of what is sealed and kept. A broken chain is an answer, not
// an error: Problem says what is wrong at the first place where something is.
func (l *Log) Verify(ctx context.Context) (*breakwaterv1.VerifyAuditEventsResponse, error) {
	previous := l.head.GetFirstPreviousHash()
	if len(previous) == 0 {
		previous = zeroHash[:]
	}
	out := &breakwaterv1.VerifyAuditEventsResponse{PendingEvents: int64(len(l.loose))}
	next := l.First()
	broken := func(format string, args ...any) {
		if out.GetProblem() == "" {
			out.Problem = fmt.Sprintf(format, args...)
		}
	}
	err := l.Ascend(ctx, func(e *breakwaterv1.AuditEvent) error {
		switch {
		case out.GetProblem() != "" || e.GetSequence() == 0:
			return nil
		case e.GetSequence() != next:
			broken("after place %d comes place %d", next-1, e.GetSequence())
			return nil
		}
		sum := Hash(previous, e)
		if hex.EncodeToString(sum) != e.GetHash() {
			broken("the event at place %d does not have its hash: it, or one before it, was changed", next)
			return nil
		}
		if out.GetCheckedEvents() == 0 {
			out.FirstSequence = next
		}
		out.CheckedEvents++
		out.LastSequence, out.HeadHash = next, e.GetHash()
		previous = sum
		next++
		return nil
	})
	if err != nil {
		return nil, err
	}
	if next-1 != l.head.GetSequence() || l.head.GetSequence() > 0 && !bytes.Equal(previous, l.head.GetHash()) {
		broken("the chain ends at place %d, but its head is at %d", next-1, l.head.GetSequence())
	}
	out.Valid = out.GetProblem() == ""
	return out, nil
}
