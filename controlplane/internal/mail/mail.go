package mail

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/outbox"
)

// Kind is the kind of outbox items that are letters.
const Kind = "mail"

// maxRecipients bounds the recipients of one letter.
const maxRecipients = 20

// Put asks for a letter within a change. The ID tells the letters of an account apart: one
// that was asked for already and is not sent yet is replaced.
func Put(tx outbox.Puts, account, id string, letter *storev1.Mail) error {
	if n := len(letter.GetTo()); n == 0 || n > maxRecipients {
		return fmt.Errorf("mail: %d recipients, not 1 to %d", n, maxRecipients)
	}
	if letter.GetMessageId() == "" {
		letter.MessageId = id + "." + account
	}
	payload, err := proto.Marshal(letter)
	if err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	return outbox.Put(tx, "mail-"+account+"-"+id, Kind, account, payload)
}

// Sender sends letters. A [RefusedError] says that a letter will never be taken; after any
// other error it may or may not have been sent.
type Sender interface {
	Send(ctx context.Context, letter *storev1.Mail) error
}

// RefusedError says that a mail server refused a letter for good.
type RefusedError struct{ Cause error }

func (e *RefusedError) Error() string { return "mail: refused: " + e.Cause.Error() }

func (e *RefusedError) Unwrap() error { return e.Cause }

// Handler sends the letters of the outbox.
func Handler(sender Sender) outbox.Handler {
	return func(ctx context.Context, item outbox.Item) error {
		letter := &storev1.Mail{}
		if err := proto.Unmarshal(item.Payload, letter); err != nil {
			return outbox.Dead(fmt.Errorf("mail: %w", err))
		}
		err := sender.Send(ctx, letter)
		if _, ok := errors.AsType[*RefusedError](err); ok {
			return outbox.Dead(err)
		}
		return err
	}
}
