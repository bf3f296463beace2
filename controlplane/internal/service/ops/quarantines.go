package ops

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/listing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

func itoa(n int) string { return strconv.Itoa(n) }

const quarantines = "quarantines/"

// ListQuarantines lists the documents that are kept at their last good version.
func (r *Releases) ListQuarantines(ctx context.Context, req *opsv1.ListQuarantinesRequest) (*opsv1.ListQuarantinesResponse, error) {
	q, err := listing.Parse(req, &opsv1.Quarantine{}, listing.Options{})
	if err != nil {
		return nil, err
	}
	v, err := r.control.Read(ctx)
	if err != nil {
		return nil, err
	}
	items, next, err := listing.Page(q, func(after string, yield func(string, *opsv1.Quarantine) bool) error {
		from := ""
		if after != "" {
			from = ledger.QuarantineKey(after)
		}
		kvs, _ := v.List(ledger.QuarantinesPrefix, from, 0)
		for _, kv := range kvs {
			id := strings.TrimPrefix(kv.Key, ledger.QuarantinesPrefix)
			var rec storev1.QuarantineRecord
			if err := proto.Unmarshal(kv.Value, &rec); err != nil {
				return fmt.Errorf("ops: record %s: %w", kv.Key, err)
			}
			if !yield(id, quarantine(id, &rec)) {
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &opsv1.ListQuarantinesResponse{Quarantines: items, NextPageToken: next}, nil
}

// GetQuarantine returns one quarantine.
func (r *Releases) GetQuarantine(ctx context.Context, req *opsv1.GetQuarantineRequest) (*opsv1.Quarantine, error) {
	v, err := r.control.Read(ctx)
	if err != nil {
		return nil, err
	}
	id, rec, err := quarantineIn(v, req.GetName())
	if err != nil {
		return nil, err
	}
	return quarantine(id, rec), nil
}

// RetryQuarantine tries the document again.
func (r *Releases) RetryQuarantine(ctx context.Context, req *opsv1.RetryQuarantineRequest) (*opsv1.Quarantine, error) {
	return commands(ctx, r.control, func(tx *change.Tx) (*opsv1.Quarantine, []*storev1.Command, error) {
		v, err := r.control.Read(ctx)
		if err != nil {
			return nil, nil, err
		}
		id, rec, err := quarantineIn(v, req.GetName())
		if err != nil {
			return nil, nil, err
		}
		if wait := rec.GetRetryTime().AsTime().Sub(tx.Now()); rec.GetRetryTime() != nil && wait > 0 {
			return nil, nil, rpcerr.RateLimited(req.GetName(), wait,
				"it was tried before and failed: the next try is possible in %v", wait.Round(time.Second))
		}
		if !rec.GetTrying() {
			rec.Retries++
		}
		return quarantine(id, rec), []*storev1.Command{retryOf(id)}, nil
	})
}

// Retry asks the leader to try quarantined documents again: those that pick names, by the
// quarantines' IDs. A repeat of the call with the same idempotency key succeeds without
// picking again.
func (c *Control) Retry(ctx context.Context, pick func(ctx context.Context) (ids []string, err error)) error {
	_, err := commands(ctx, c, func(*change.Tx) (*storev1.Command, []*storev1.Command, error) {
		ids, err := pick(ctx)
		if err != nil {
			return nil, nil, err
		}
		var out []*storev1.Command
		for _, id := range ids {
			out = append(out, retryOf(id))
		}
		return &storev1.Command{}, out, nil
	})
	return err
}

func retryOf(id string) *storev1.Command {
	return &storev1.Command{Verb: storev1.Command_RETRY, Quarantine: id}
}

func quarantineIn(v View, name string) (id string, rec *storev1.QuarantineRecord, err error) {
	id, ok := strings.CutPrefix(name, quarantines)
	if !ok {
		return "", nil, rpcerr.NotFound(name)
	}
	rec = &storev1.QuarantineRecord{}
	found, err := load(v, ledger.QuarantineKey(id), rec)
	if err == nil && !found {
		err = rpcerr.NotFound(name)
	}
	return id, rec, err
}

func quarantine(id string, rec *storev1.QuarantineRecord) *opsv1.Quarantine {
	out := &opsv1.Quarantine{
		Name: quarantines + id, Document: rec.GetKind() + "/" + rec.GetId(), Channel: rec.GetChannel(),
		Release: rec.GetRelease(), BadSha256: hex.EncodeToString(rec.GetBadSha256()),
		GoodSha256: hex.EncodeToString(rec.GetGoodSha256()), Reason: rec.GetReason(),
		Retries: rec.GetRetries(), RetryTime: rec.GetRetryTime(), CreateTime: rec.GetCreateTime(),
	}
	if rec.GetDataCenter() != "" {
		out.Server = "dataCenters/" + rec.GetDataCenter()
		if rec.GetServer() != "" {
			out.Server += "/servers/" + rec.GetServer()
		}
	}
	return out
}
