package fleet_test

import (
	"net/url"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/fleet"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/pki"
)

func TestIdentity(t *testing.T) {
	w := newWorld(t)
	other, err := pki.OpenAuthority(t.TempDir(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		edge   *edge
		report *edgev1.ReportRequest
		want   codes.Code
	}{
		{"another server", w.dial(w.certificate("SJC", "sjc-1")), report("SJC", "sjc-2", "i"), codes.PermissionDenied},
		{"another data center", w.dial(w.certificate("SJC", "sjc-1")), report("LHR", "sjc-1", "i"), codes.PermissionDenied},
		{"a data center that is none", w.dial(w.certificate("XXX", "xxx-1")), report("XXX", "xxx-1", "i"), codes.PermissionDenied},
		{"no certificate", w.dial(nil), report("SJC", "sjc-1", "i"), codes.Unauthenticated},
		{
			"a certificate of something else", w.dial(w.certificateOf(w.authority, &url.URL{Scheme: "spiffe", Host: "SJC", Path: "/sjc-1"})),
			report("SJC", "sjc-1", "i"), codes.Unauthenticated,
		},
		{
			"an authority that is not trusted", w.dial(w.certificateOf(other, authn.EdgeURI("SJC", "sjc-1"))),
			report("SJC", "sjc-1", "i"), codes.Unavailable, // The handshake fails.
		},
		{"a report that makes no sense", w.dial(w.certificate("SJC", "sjc-1")), report("SJC", "sjc-1", ""), codes.InvalidArgument},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.edge.t = t
			tt.edge.send(tt.report)
			tt.edge.ended(tt.want)
		})
	}
	for _, s := range w.fleet.Snapshot() {
		if s.DataCenter != "LHR" || s.Server != "probe" {
			t.Errorf("a refused report was taken: %+v", s)
		}
	}
}

func TestReportsAreKept(t *testing.T) {
	w := newWorld(t)
	e := w.dial(w.certificate("SJC", "sjc-1"))
	e.say(report("SJC", "sjc-1", "first"))
	s := w.server("SJC", "sjc-1", "connected", connected)
	if s.Report.GetIncarnation() != "first" || s.Restarts != 0 || !s.LastSeen.Equal(w.clock.Now()) {
		t.Errorf("server = %+v", s)
	}
	e.close()
	w.server("SJC", "sjc-1", "lost", lost)

	// It comes back as another run of itself.
	e = w.dial(w.certificate("SJC", "sjc-1"))
	e.say(report("SJC", "sjc-1", "second"))
	e.say(report("SJC", "sjc-1", "second"))
	if s := w.server("SJC", "sjc-1", "connected", connected); s.Restarts != 1 {
		t.Errorf("restarts = %d, want 1", s.Restarts)
	}
}

func TestNewestStreamSpeaks(t *testing.T) {
	w := newWorld(t)
	first := w.dial(w.certificate("SJC", "sjc-1"))
	first.say(report("SJC", "sjc-1", "i"))
	second := w.dial(w.certificate("SJC", "sjc-1"))
	second.say(report("SJC", "sjc-1", "i"))
	first.send(report("SJC", "sjc-1", "i"))
	first.ended(codes.Aborted)
	second.say(report("SJC", "sjc-1", "i"))
	if s := w.server("SJC", "sjc-1", "known", func(fleet.Server) bool { return true }); !s.Connected {
		t.Error("the end of an older stream disconnected the server")
	}
}

func TestLeaderLoss(t *testing.T) {
	w := newWorld(t)
	e, silent := w.dial(w.certificate("SJC", "sjc-1")), w.dial(w.certificate("LHR", "lhr-1"))
	e.say(report("SJC", "sjc-1", "i"))
	silent.say(report("LHR", "lhr-1", "i"))
	w.depose() // returns only when nothing is received any more
	e.ended(codes.Unavailable)
	silent.ended(codes.Unavailable)
	w.server("SJC", "sjc-1", "lost", lost)

	late := w.dial(w.certificate("SJC", "sjc-1"))
	late.send(report("SJC", "sjc-1", "i"))
	late.ended(codes.Unavailable)

	// The next term takes streams again, and remembers nothing that it was not told.
	w.fleet.Reset(nil)
	w.lead()
	again := w.dial(w.certificate("SJC", "sjc-1"))
	again.say(report("SJC", "sjc-1", "other"))
	if s := w.server("SJC", "sjc-1", "connected", connected); s.Restarts != 0 {
		t.Errorf("restarts = %d after a reset, want 0", s.Restarts)
	}
}
