package edge_test

import (
	"iter"
	"testing"

	"google.golang.org/protobuf/proto"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge"
	"github.com/breakwater-cdn/breakwater/sdk/edge/edgetest"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

func marshal(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// nothing is a full generation without documents.
type nothing struct{}

func (nothing) Releases() map[wire.Channel]int64       { return nil }
func (nothing) Full() bool                             { return true }
func (nothing) Changes() iter.Seq2[edge.Change, error] { return func(func(edge.Change, error) bool) {} }

func (nothing) Documents() iter.Seq2[edge.Change, error] {
	return func(func(edge.Change, error) bool) {}
}
func (nothing) InHand(wire.DocumentID) {}

func sumOf(body string) string {
	sum := wire.SumOf([]byte(body))
	return string(sum[:])
}

func channelOf(m *edgev1.ReportRequest) *edgev1.ChannelReport {
	return edgetest.Channel(m, wire.Routine)
}
