package server_test

import (
	"context"
	"maps"
	"net/http"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/controlplanetest"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/server"
)

// writers says which rooms write what of the key spaces that decide what data centers do.
// Package archtest has the same table for the source; here it is what a running server does.
var writers = []struct {
	keys  *regexp.Regexp
	rooms []string
}{
	{regexp.MustCompile(`^base/`), []string{"publish"}},
	{regexp.MustCompile(`^edge/(blobs/|[a-z]+/releases/)`), []string{"publish", "prune"}},
	{regexp.MustCompile(`^edge/targets/`), []string{"rollout"}},
	{regexp.MustCompile(`^edge/[a-z]+/abandoned/`), []string{"rollout", "prune"}},
	{regexp.MustCompile(`^control/leader`), []string{"leader", "server"}},
	{regexp.MustCompile(`^control/channels/[a-z]+/head$`), []string{"publish", "rollout"}},
	{regexp.MustCompile(`^control/channels/[a-z]+/rollout$`), []string{"rollout"}},
	{regexp.MustCompile(`^control/channels/[a-z]+/history/`), []string{"rollout", "prune"}},
	{regexp.MustCompile(`^control/quarantines/`), []string{"rollout"}},
	{regexp.MustCompile(`^control/channels/[a-z]+/policy$`), []string{"service/ops"}},
	{regexp.MustCompile(`^control/dataCenters/`), []string{"service/ops"}},
	{regexp.MustCompile(`^control/commands/`), []string{"service/ops", "rollout"}},
	{regexp.MustCompile(`^control/fleet/`), []string{"fleet"}},
	{regexp.MustCompile(`^control/incidents/`), []string{"incident", "service/ops"}},
	{regexp.MustCompile(`^control/incidentCursor$`), []string{"incident"}},
}

// carriers commit what others decided; who called them is the writer.
var carriers = []string{"ledger", "change", "registry", "call"}

// recorder notes which room wrote which kind of key.
type recorder struct {
	mu   sync.Mutex
	seen map[[2]string]string // the row and the room, to an example
	bad  map[string]string
}

type recordingStore struct {
	registry.Store
	*recorder
}

func (s recordingStore) Commit(ctx context.Context, txn registry.Txn) (int64, error) {
	s.note(txn.Then)
	return s.Store.Commit(ctx, txn)
}

func (r *recorder) note(ops []registry.Op) {
	room := ""
	for _, op := range ops {
		if !strings.HasPrefix(op.Key, "edge/") && !strings.HasPrefix(op.Key, "base/") && !strings.HasPrefix(op.Key, "control/") {
			continue
		}
		if room == "" {
			room = writer()
		}
		r.mu.Lock()
		known := false
		for _, w := range writers {
			if w.keys.MatchString(op.Key) && slices.Contains(w.rooms, room) && (room != "prune" || op.Delete) {
				r.seen[[2]string{w.keys.String(), room}], known = op.Key, true
			}
		}
		if !known {
			r.bad[room] = op.Key
		}
		r.mu.Unlock()
	}
}

const roomsPath = "/controlplane/internal/"

// writer is the room that commits: the innermost one that is no carrier.
func writer() string {
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	for {
		frame, more := frames.Next()
		if _, rest, ok := strings.Cut(frame.Function, roomsPath); ok {
			// rest is such as service/ops.(*Control).commands or change.Do[...].
			at := strings.LastIndex(rest[:strings.IndexAny(rest+"[", "[(")], "/") + 1
			end := strings.Index(rest[at:], ".")
			room := rest[:at+max(end, 0)]
			first, _, _ := strings.Cut(room, "/")
			if !slices.Contains(carriers, first) && !strings.HasSuffix(room, "_test") {
				return room
			}
		}
		if !more {
			return "unknown"
		}
	}
}

// Whatever happens, only those write to the edge and to the engine's state who may.
func TestWritersOfEdgeAndControl(t *testing.T) {
	rec := &recorder{seen: map[[2]string]string{}, bad: map[string]string{}}
	wrap := func(c *server.Config) {
		c.WrapStore = func(s registry.Store) registry.Store { return recordingStore{s, rec} }
	}
	cp := controlplanetest.Start(t, wrap, controlplanetest.SmallFleet(t, 4))
	op, acme := cp.REST(cp.Operator), cp.Account("acme")
	cp.Site(acme, "acme", "shop.test")
	cp.Site(acme, "acme", "other.test")
	const path = "/v1/accounts/acme/sites/shop.test"

	// A change that hurts, one that goes through, and what operators do.
	cp.Bug("crash", "shop.test", "CRASH", "")
	acme.OK(http.MethodPatch, path+"/settings", `{"browserTtlSeconds": 77}`)
	cp.Propagates(acme, "acme", "shop.test", "QUARANTINED")
	op.OK(http.MethodDelete, "/v1/dev/bugs/crash", "")
	acme.OK(http.MethodPost, path+"/propagation:retry", "{}")
	cp.Live(acme, "acme", "shop.test")
	acme.OK(http.MethodPost, path+":purgeCache", `{"everything": true}`)
	cp.Live(acme, "acme", "shop.test")
	dc := op.Get("/v1/dataCenters").Objects("dataCenters")[0].Text("name")
	op.OK(http.MethodPost, "/v1/"+dc+":drain", "{}")
	op.OK(http.MethodPost, "/v1/"+dc+":restore", "{}")
	op.OK(http.MethodPost, "/v1/channels/urgent:freeze", "{}")
	op.OK(http.MethodPost, "/v1/channels/urgent:unfreeze", "{}")
	newest := op.Get("/v1/channels/routine/releases").Objects("releases")[0].Text("name")
	op.OK(http.MethodPost, "/v1/"+newest+":hold", "{}")
	op.OK(http.MethodPost, "/v1/"+newest+":resume", "{}")
	op.OK(http.MethodPatch, "/v1/apps/minify", `{"killed": true}`)
	op.OK(http.MethodPost, "/v1/incidents", `{"title": "x"}`)
	acme.OK(http.MethodDelete, "/v1/accounts/acme/sites/other.test", "")
	cp.Eventually("the platform's change is live", func() bool {
		ch := op.Get("/v1/channels/platform")
		return ch.Int("head") > 1 && ch.Int("head") == ch.Int("live")
	})

	rec.mu.Lock()
	defer rec.mu.Unlock()
	for room, key := range rec.bad {
		t.Errorf("%s wrote %s, and is not known to do that", room, key)
	}
	for _, w := range writers {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(rec.seen)), func(k [2]string) bool { return k[0] == w.keys.String() }) {
			t.Errorf("nothing wrote %s: the story or the recorder is broken", w.keys)
		}
	}
}
