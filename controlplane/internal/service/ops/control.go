package ops

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// View is a consistent state of the keys below control/.
type View interface {
	Get(key string) (registry.KV, bool)
	List(prefix, after string, limit int) (kvs []registry.KV, more bool)
	Ascend(prefix string, visit func(registry.KV) bool)
}

// Control reads the engine's state and writes what operators wish.
type Control struct {
	// Read returns a linearizable view.
	Read func(ctx context.Context) (View, error)
	// Store is the cluster of edge/ and control/.
	Store registry.Store
	// Writer writes to control/.
	Writer *change.Writer
	// NewID makes an ID that orders by time.
	NewID func(now time.Time) string
	// CommandWait bounds how long a call waits for the leader to obey.
	CommandWait time.Duration
}

// load reads one record of a view; false when there is none.
func load(v View, key string, m proto.Message) (bool, error) {
	kv, ok := v.Get(key)
	if !ok {
		return false, nil
	}
	if err := proto.Unmarshal(kv.Value, m); err != nil {
		return false, fmt.Errorf("ops: record %s: %w", key, err)
	}
	return true, nil
}

// command asks the leader to do something and waits until it did, or refused. On a time-out
// the command stays: a leader that is elected later still obeys.
func (c *Control) command(ctx context.Context, cmd *storev1.Command) error {
	var key string
	_, err := change.Do(ctx, c.Writer, resource.Tenant{}, func(tx *change.Tx) (*storev1.Command, error) {
		cmd.Principal = tx.Call().Principal.ID
		cmd.CreateTime = timestamppb.New(tx.Now())
		key = ledger.CommandKey(c.NewID(tx.Now()))
		return cmd, tx.PutNew(key, cmd)
	})
	if err != nil || call.From(ctx).ValidateOnly {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.CommandWait)
	defer cancel()
	kv, err := c.Store.Get(ctx, key)
	if err != nil {
		return nil //nolint:nilerr // not found: the leader was faster; else the command is stored and stays
	}
	w := c.Store.Watch(ctx, key, kv.ModRevision)
	for batch := range w.C() {
		for _, e := range batch.Events {
			if e.Deleted {
				return nil
			}
		}
	}
	return rpcerr.Failed(codeUnavailable, rpcerr.ReasonUnavailable, "no leader obeyed within %v: the command is kept", c.CommandWait)
}

// channelOf parses `channels/{channel}`.
func channelOf(name string) (wire.Channel, error) {
	for _, c := range wire.Channels() {
		if name == channelName(c) {
			return c, nil
		}
	}
	return "", rpcerr.NotFound(name)
}

func channelName(c wire.Channel) string { return "channels/" + string(c) }
