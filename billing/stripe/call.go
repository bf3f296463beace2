package stripe

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	stripego "github.com/stripe/stripe-go/v76"

	"github.com/breakwater-cdn/breakwater/billing"
)

// maxKey is the longest idempotency key that Stripe takes.
const maxKey = 255

// maxList is the largest page that Stripe gives.
const maxList = 100

// change makes one request that changes something. The library would make up a key where
// none is given, and a repeat would change things twice: so none is refused.
func (p *Provider) change(ctx context.Context, key, operation string, request func(stripego.Params) error) error {
	if key == "" || len(key) > maxKey {
		return fmt.Errorf("%w: %s: an idempotency key has 1 to %d characters", billing.ErrRefused, operation, maxKey)
	}
	return p.do(ctx, operation, func(ctx context.Context) error {
		return request(stripego.Params{Context: ctx, IdempotencyKey: &key})
	})
}

// converge makes one request that sets a state which was looked at before, so that it needs
// no key that lasts: its repeat is a new look.
func (p *Provider) converge(ctx context.Context, operation string, request func(stripego.Params) error) error {
	return p.read(ctx, operation, request)
}

// read makes one request that changes nothing.
func (p *Provider) read(ctx context.Context, operation string, request func(stripego.Params) error) error {
	return p.do(ctx, operation, func(ctx context.Context) error {
		return request(stripego.Params{Context: ctx})
	})
}

// list reads one page.
func (p *Provider) list(ctx context.Context, operation string, limit int, request func(stripego.ListParams) error) error {
	return p.do(ctx, operation, func(ctx context.Context) error {
		return request(stripego.ListParams{Context: ctx, Limit: new(int64(limit)), Single: true})
	})
}

// do gives a request its deadline, and its error the form that callers know.
func (p *Provider) do(ctx context.Context, operation string, request func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	err := translate(operation, request(ctx))
	switch {
	case err == nil:
		p.logger.DebugContext(ctx, "stripe call", "operation", operation)
	case errors.Is(err, billing.ErrRetry):
		p.logger.WarnContext(ctx, "stripe call", "operation", operation, "error", err)
	default:
		p.logger.InfoContext(ctx, "stripe call", "operation", operation, "error", err)
		if errors.Is(err, billing.ErrRefused) {
			p.forget() // It may be for what was remembered: a price that is archived by now.
		}
	}
	return err
}

// objectID is the form of Stripe's IDs. What is no ID never gets into a path, where it might
// be another resource, as `upcoming` is among invoices.
var objectID = regexp.MustCompile(`^[a-z]{2,8}_[A-Za-z0-9_]{1,240}$`)

func checkID(what, id string) error {
	if !objectID.MatchString(id) {
		return fmt.Errorf("%w: no %s has the ID %q", billing.ErrNotFound, what, shorten(id))
	}
	return nil
}

func shorten(text string) string {
	const most = 64
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}

func expand(paths ...string) []*string { return stripego.StringSlice(paths) }
