package ops

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/listing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/outbox"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// Outbox is the OutboxService: what changes asked for outside, and what became of it.
type Outbox struct {
	opsv1.UnimplementedOutboxServiceServer
	writer *change.Writer
	source change.Source
	log    *slog.Logger
}

// NewOutbox returns the service over the registry; log takes the operators' log.
func NewOutbox(writer *change.Writer, source change.Source, log *slog.Logger) *Outbox {
	return &Outbox{writer: writer, source: source, log: log}
}

const outboxItems = "outboxItems/"

var outboxID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$`)

// outboxItem parses the name of an item.
func outboxItem(name string) (id string, err error) {
	id, ok := strings.CutPrefix(name, outboxItems)
	if !ok || !outboxID.MatchString(id) {
		return "", rpcerr.InvalidField("name", "resource_name", "%q is not a name of the form outboxItems/{item}", name)
	}
	return id, nil
}

func outboxView(id string, item *storev1.OutboxItem) *opsv1.OutboxItem {
	out := &opsv1.OutboxItem{
		Name: outboxItems + id, Kind: item.GetKind(), Subject: item.GetSubject(), State: opsv1.OutboxItem_WAITING,
		Attempts: item.GetAttempts(), LastError: item.GetLastError(), CreateTime: item.GetCreateTime(), NextTime: item.GetNextTime(),
	}
	switch {
	case item.GetDead():
		out.State, out.NextTime = opsv1.OutboxItem_DEAD, nil
	case item.GetAttempts() > 0:
		out.State = opsv1.OutboxItem_FAILING
	}
	return out
}

// ListOutboxItems lists what is still to be done.
func (o *Outbox) ListOutboxItems(ctx context.Context, req *opsv1.ListOutboxItemsRequest) (*opsv1.ListOutboxItemsResponse, error) {
	q, err := listing.Parse(req, &opsv1.OutboxItem{}, listing.Options{})
	if err != nil {
		return nil, err
	}
	view, err := o.source.Read(ctx)
	if err != nil {
		return nil, err
	}
	items, next, err := listing.Page(q, func(after string, yield func(string, *opsv1.OutboxItem) bool) error {
		cursor := ""
		if after != "" {
			cursor = resource.Outbox(after)
		}
		for {
			kvs, more := view.List(resource.OutboxPrefix, cursor, listing.DefaultPageSize)
			for _, kv := range kvs {
				id := strings.TrimPrefix(kv.Key, resource.OutboxPrefix)
				item := &storev1.OutboxItem{}
				if err := proto.Unmarshal(kv.Value, item); err != nil {
					return fmt.Errorf("ops: outbox item %s: %w", id, err)
				}
				if !yield(id, outboxView(id, item)) {
					return nil
				}
				cursor = kv.Key
			}
			if !more {
				return nil
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return &opsv1.ListOutboxItemsResponse{OutboxItems: items, NextPageToken: next}, nil
}

// outboxGet reads an item in order to change it.
func outboxGet(tx *change.Tx, id string) (*storev1.OutboxItem, error) {
	item := &storev1.OutboxItem{}
	if err := tx.Get(resource.Outbox(id), item); isNotFound(err) {
		return nil, rpcerr.NotFound(outboxItems + id)
	} else if err != nil {
		return nil, err
	}
	return item, nil
}

// RetryOutboxItem tries an item again now, also one that was given up.
func (o *Outbox) RetryOutboxItem(ctx context.Context, req *opsv1.RetryOutboxItemRequest) (*opsv1.OutboxItem, error) {
	id, err := outboxItem(req.GetName())
	if err != nil {
		return nil, err
	}
	return do(ctx, o.writer, o.log, req.GetName(), func(tx *change.Tx) (*opsv1.OutboxItem, error) {
		item, err := outboxGet(tx, id)
		if err != nil {
			return nil, err
		}
		outbox.Retry(item, tx.Now())
		return outboxView(id, item), tx.Put(resource.Outbox(id), item)
	})
}

// DeleteOutboxItem drops an item that was given up. One that is still tried may be in the
// middle of it, so it is not dropped.
func (o *Outbox) DeleteOutboxItem(ctx context.Context, req *opsv1.DeleteOutboxItemRequest) (*emptypb.Empty, error) {
	id, err := outboxItem(req.GetName())
	if err != nil {
		return nil, err
	}
	return do(ctx, o.writer, o.log, req.GetName(), func(tx *change.Tx) (*emptypb.Empty, error) {
		item, err := outboxGet(tx, id)
		if err != nil {
			return nil, err
		}
		if !item.GetDead() {
			return nil, rpcerr.Precondition(rpcerr.ReasonInvalidState, req.GetName(), "%s is still tried; only dead items are dropped", req.GetName())
		}
		tx.Delete(resource.Outbox(id))
		return &emptypb.Empty{}, nil
	})
}
