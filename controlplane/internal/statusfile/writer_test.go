package statusfile

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// read opens the file as a stranger does, and returns nil where there is none.
func read(t *testing.T, path string, trust wire.Trust) *breakwaterv1.NetworkStatus {
	t.Helper()
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	var f File
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	signed := &edgev1.Signed{KeyId: f.KeyID, Signature: f.Signature, Payload: []byte(f.Payload)}
	if err := trust.Verify(signed, f.Context); err != nil || f.Context != wire.ContextStatus {
		t.Fatalf("%q: %v", f.Context, err)
	}
	s := &breakwaterv1.NetworkStatus{}
	if err := protojson.Unmarshal([]byte(f.Payload), s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestWriter(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	trust := wire.NewTrust(public)
	clock := clockwork.NewFakeClock()
	path := filepath.Join(t.TempDir(), "status.json")
	var failure error
	state := &breakwaterv1.NetworkStatus{State: breakwaterv1.NetworkStatus_OPERATIONAL, Summary: `all "serve" <well> – ok`}
	w := New(Config{
		Path: path, Signer: private, Clock: clock, Logger: slog.New(slog.DiscardHandler),
		Status: func(context.Context) (*breakwaterv1.NetworkStatus, error) {
			s := proto.CloneOf(state)
			s.ObserveTime = timestamppb.New(clock.Now())
			return s, failure
		},
	})
	look := func() *breakwaterv1.NetworkStatus {
		t.Helper()
		if err := w.look(t.Context()); !errors.Is(err, failure) {
			t.Fatal(err)
		}
		return read(t, path, trust)
	}
	failure = errors.New("nothing is known")
	if s := look(); s != nil {
		t.Fatalf("got %v of nothing", s)
	}
	failure = nil
	first := look()
	if first.GetSummary() != state.GetSummary() || !first.GetObserveTime().AsTime().Equal(clock.Now()) {
		t.Fatalf("got %v", first)
	}
	// Time alone is no change, until a minute is over.
	clock.Advance(59 * time.Second)
	if s := look(); !proto.Equal(s, first) {
		t.Errorf("written again after 59 s: %v", s)
	}
	clock.Advance(time.Second)
	if s := look(); !s.GetObserveTime().AsTime().Equal(clock.Now()) {
		t.Errorf("not written after a minute: %v", s)
	}
	clock.Advance(time.Second)
	state.State = breakwaterv1.NetworkStatus_PARTIAL_OUTAGE
	state.Incidents = []*breakwaterv1.Incident{{Name: "incidents/x", Title: "SJC stopped reporting"}}
	if s := look(); s.GetState() != state.GetState() || len(s.GetIncidents()) != 1 {
		t.Errorf("a change was not written: %v", s)
	}
	// While the status is not known the last one stays.
	failure = errors.New("away")
	if s := look(); s.GetState() != state.GetState() {
		t.Errorf("got %v", s)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("files left: %v, %v", entries, err)
	}
}

func TestRunEnds(t *testing.T) {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	w := New(Config{
		// A folder that is not there: the writer goes on and says so once.
		Path: filepath.Join(t.TempDir(), "none", "status.json"), Signer: private,
		Clock: clockwork.NewFakeClock(), Logger: slog.New(slog.DiscardHandler),
		Status: func(context.Context) (*breakwaterv1.NetworkStatus, error) {
			cancel()
			return &breakwaterv1.NetworkStatus{}, nil
		},
	})
	if err := w.Run(ctx); err != nil {
		t.Error(err)
	}
}
