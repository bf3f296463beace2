package edge

import (
	"context"
	"fmt"
	"iter"

	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// Applier is a data plane.
type Applier interface {
	// Apply makes a generation serve: either all of it, and then it returns nil, or what
	// served before stays, and then it returns an error; a [*RejectError] names the document
	// that it refuses. When ctx ends it must return soon. It is never called while an
	// earlier call has not returned.
	Apply(ctx context.Context, g Generation) error
	// Healthy returns nil while the data plane serves well, and else says what is wrong. It
	// is called often and at any time, so it must be cheap; it must return when ctx ends.
	Healthy(ctx context.Context) error
}

// Generation is what a data plane is to serve: a release of every channel. It is valid
// until Apply returns.
type Generation interface {
	// Releases returns the release of every channel that has one.
	Releases() map[wire.Channel]int64
	// Full says that Changes lists every document, because the data plane has nothing yet or
	// lost what it had: it serves nothing but these afterwards.
	Full() bool
	// Changes yields what differs from what serves now, in order of channel, kind and ID. An
	// error ends it; Apply then returns that error and keeps what serves.
	Changes() iter.Seq2[Change, error]
	// Documents yields every document of the generation, in the same order, from the disk.
	Documents() iter.Seq2[Change, error]
	// InHand leaves a breadcrumb: should the server crash now, this document is named. The
	// zero value takes the breadcrumb away.
	InHand(id wire.DocumentID)
}

// Change is one document of a generation.
type Change struct {
	Channel wire.Channel
	ID      wire.DocumentID
	// Removed says that the document is gone; then there is no Sum and no Body.
	Removed bool
	// Sum is the SHA-256 of Body, which was checked.
	Sum wire.Sum
	// Body is the serialised document. It may be kept and must not be changed.
	Body []byte
}

// RejectError says that a data plane refuses a document.
type RejectError struct {
	Document wire.DocumentID
	Sum      wire.Sum
	Reason   string
}

func (e *RejectError) Error() string {
	return fmt.Sprintf("edge: document %s is refused: %s", e.Document, e.Reason)
}
