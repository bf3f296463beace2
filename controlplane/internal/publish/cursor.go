package publish

import (
	"context"
	"fmt"
	"time"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
)

// moveCursor writes the cursor where it moved past something that somebody may wait for.
// It returns how long to wait before the next look.
func (w *worker) moveCursor(ctx context.Context) (time.Duration, error) {
	if !w.restarted && w.newest <= w.head.GetCursor() {
		return idleWait, nil
	}
	now := w.cfg.Clock.Now()
	if rest := CursorInterval - now.Sub(w.cursorTime); rest > 0 && !w.cursorTime.IsZero() {
		return rest, nil
	}
	w.cursorTime = now
	to := w.coverage(nil)
	if !w.restarted && to <= w.head.GetCursor() {
		return idleWait, nil
	}
	return idleWait, w.putHead(ctx, w.nextHead(w.head.GetRelease(), w.head.GetLastNumber(), to), nil)
}

// nextHead is the head in place of the one that was read.
func (w *worker) nextHead(release, last, cursor int64) *storev1.HeadRecord {
	head := &storev1.HeadRecord{
		Release: release, LastNumber: last, Cursor: cursor, RegistryCluster: w.cluster,
		RestartNumber: w.head.GetRestartNumber(), FromRevision: w.head.GetFromRevision(),
	}
	if w.restarted {
		head.RestartNumber = w.head.GetLastNumber()
	}
	return head
}

// quota remembers what the store said of its size.
type quota struct {
	asked       time.Time
	full, tight bool
}

// quotaInterval is how often the store is asked for its size.
const quotaInterval = 5 * time.Second

// full says whether the store has no room for more, and says so loudly.
func (w *worker) full(ctx context.Context) (bool, error) {
	now := w.cfg.Clock.Now()
	if !w.quota.asked.IsZero() && now.Sub(w.quota.asked) < quotaInterval {
		return w.quota.full, nil
	}
	status, err := w.cfg.Edge.Status(ctx)
	if err != nil {
		return false, err
	}
	w.quota.asked = now
	reached := func(share float64) bool {
		return status.QuotaBytes > 0 && float64(status.SizeBytes) >= share*float64(status.QuotaBytes)
	}
	full := reached(QuotaShare)
	w.quota.tight = reached(TightShare)
	switch {
	case full:
		w.stopped = fmt.Sprintf("the store has %d of %d bytes; publishing stops at %.0f%%",
			status.SizeBytes, status.QuotaBytes, 100*QuotaShare)
		w.log.Error("publishing stopped: the store is too full", "bytes", status.SizeBytes, "quota", status.QuotaBytes)
	case w.quota.full:
		w.stopped = ""
		w.log.Info("publishing goes on: the store has room again", "bytes", status.SizeBytes, "quota", status.QuotaBytes)
	}
	w.quota.full = full
	return full, nil
}
