package ops

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// View is a consistent state of the keys below control/.
type View interface {
	Revision() int64
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
	// Logger takes the operators' log.
	Logger *slog.Logger
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

// commands asks the leader to do what decide wants and waits until it did. The answer is what
// will have come of it, as decide foresees it by the leader's rules: a dry run gets the same
// one, and so does a repeat of the call with the same idempotency key, without deciding again.
// A command that the leader refuses after all, because something else was faster, is removed
// like one that it obeyed. On a time-out the command stays: a leader that is elected later
// still obeys.
func commands[R proto.Message](
	ctx context.Context, c *Control, decide func(*change.Tx) (R, []*storev1.Command, error),
) (R, error) {
	var zero R
	var keys, about, reasons []string
	answer, repeated, err := Changed(ctx, c.Writer, func(tx *change.Tx) (R, error) {
		answer, cmds, err := decide(tx)
		if err != nil {
			return zero, err
		}
		keys, about, reasons = nil, nil, nil
		for _, cmd := range cmds {
			cmd.Principal = tx.Call().Principal.ID
			cmd.CreateTime = timestamppb.New(tx.Now())
			key := ledger.CommandKey(c.NewID(tx.Now()))
			if err := tx.PutNew(key, cmd); err != nil {
				return zero, err
			}
			keys, about, reasons = append(keys, key), append(about, subject(cmd)), append(reasons, cmd.GetReason())
		}
		return answer, nil
	})
	if repeated {
		return answer, nil
	}
	for i, name := range about {
		var why []slog.Attr
		if reasons[i] != "" {
			why = append(why, slog.String("reason", reasons[i]))
		}
		Audit(ctx, c.Logger, name, err, why...)
	}
	if err != nil || call.From(ctx).ValidateOnly {
		return answer, err
	}
	bounded, cancel := context.WithTimeout(ctx, c.CommandWait)
	defer cancel()
	for _, key := range keys {
		if err := c.obeyed(bounded, key); err != nil && ctx.Err() != nil {
			return zero, ctx.Err()
		} else if err != nil {
			return zero, err
		}
	}
	return answer, nil
}

// subject is the name of what a command is about.
func subject(cmd *storev1.Command) string {
	if cmd.GetVerb() == storev1.Command_RETRY {
		return quarantines + cmd.GetQuarantine()
	}
	return releaseName(wire.Channel(cmd.GetChannel()), cmd.GetRelease())
}

func releaseName(c wire.Channel, n int64) string {
	return channelName(c) + "/releases/" + strconv.FormatInt(n, 10)
}

// obeyed waits until the leader removed a command.
func (c *Control) obeyed(ctx context.Context, key string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	kv, err := c.Store.Get(ctx, key)
	if isNotFound(err) {
		return nil // The leader was faster.
	}
	if err == nil {
		w := c.Store.Watch(ctx, key, kv.ModRevision)
		done := false
		for batch := range w.C() {
			for _, e := range batch.Events {
				done = done || e.Key == key && e.Deleted
			}
			if done {
				cancel()
			}
		}
		if done {
			return nil
		}
		err = w.Err()
	}
	return rpcerr.Unavailable(time.Second, "no leader obeyed within %v: the command is kept", c.CommandWait).WithCause(err)
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
