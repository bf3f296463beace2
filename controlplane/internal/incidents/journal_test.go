package incidents_test

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"
)

// entry is something that the engine or an agent logged.
type entry struct {
	at    time.Time
	text  string
	attrs map[string]slog.Value
}

func (e entry) attr(key string) string {
	if v, ok := e.attrs[key]; ok {
		return v.String()
	}
	return ""
}

// releases are the releases that an entry about abandoning names.
func (e entry) releases() []int64 {
	list, _ := e.attrs["releases"].Any().([]int64)
	return list
}

// What is read from the log.
const (
	wentDown    = "simulated server went down"
	crashedIt   = "edge: a release crashed this server"
	refusedIt   = "edge: a release is refused"
	abandonedIt = "releases were abandoned"
	quarantined = "a document is in quarantine"
)

// harm says whether an entry is the first sign of harm at a server.
func (e entry) harm() bool { return e.text == wentDown || e.text == crashedIt || e.text == refusedIt }

// late says whether an entry names a release that was abandoned before.
func (e entry) late(abandoned map[int64]bool) bool {
	n, ok := e.attrs["release"]
	return ok && n.Kind() == slog.KindInt64 && abandoned[n.Int64()]
}

// journal keeps what replays look for in the log.
type journal struct {
	mu      sync.Mutex
	entries []entry
}

// since returns the entries from a time on, in order of time.
func (j *journal) since(t time.Time) []entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []entry
	for _, e := range j.entries {
		if !e.at.Before(t) {
			out = append(out, e)
		}
	}
	slices.SortStableFunc(out, func(a, b entry) int { return a.at.Compare(b.at) })
	return out
}

// logger returns a logger that writes into the journal.
func (j *journal) logger() *slog.Logger {
	h := handler{journal: j}
	if os.Getenv("BREAKWATER_TEST_LOG") != "" {
		h.next = slog.NewTextHandler(os.Stderr, nil)
	}
	return slog.New(h)
}

// handler is a slog.Handler.
type handler struct {
	journal *journal
	attrs   []slog.Attr
	next    slog.Handler
}

func (h handler) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

func (h handler) Handle(ctx context.Context, r slog.Record) error {
	switch r.Message {
	case wentDown, crashedIt, refusedIt, abandonedIt, quarantined:
		e := entry{at: r.Time, text: r.Message, attrs: map[string]slog.Value{}}
		for _, a := range h.attrs {
			e.attrs[a.Key] = a.Value
		}
		r.Attrs(func(a slog.Attr) bool {
			e.attrs[a.Key] = a.Value
			return true
		})
		h.journal.mu.Lock()
		h.journal.entries = append(h.journal.entries, e)
		h.journal.mu.Unlock()
	}
	if h.next != nil {
		return h.next.Handle(ctx, r)
	}
	return nil
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.attrs = append(slices.Clone(h.attrs), attrs...)
	if h.next != nil {
		h.next = h.next.WithAttrs(attrs)
	}
	return h
}

func (h handler) WithGroup(name string) slog.Handler {
	if h.next != nil {
		h.next = h.next.WithGroup(name)
	}
	return h
}
