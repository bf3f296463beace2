package fleet

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
)

func TestCheck(t *testing.T) {
	good := &edgev1.ReportRequest{
		DataCenter: "SJC", Server: "sjc-1", Incarnation: "i",
		Channels: []*edgev1.ChannelReport{{
			Channel: "urgent", StateHash: make([]byte, 32),
			Rejections: []*edgev1.Rejection{{Release: 3, Document: "site/shop.test", Reason: strings.Repeat("x", maxText)}},
		}, {Channel: "routine"}},
	}
	if found := check(good); len(found) != 0 {
		t.Fatalf("violations = %v", found)
	}
	for field, spoil := range map[string]func(*edgev1.ReportRequest){
		"incarnation":                      func(r *edgev1.ReportRequest) { r.Incarnation = "" },
		"detail":                           func(r *edgev1.ReportRequest) { r.Detail = strings.Repeat("x", maxText+1) },
		"agentVersion":                     func(r *edgev1.ReportRequest) { r.AgentVersion = strings.Repeat("x", maxVersion+1) },
		"channels":                         func(r *edgev1.ReportRequest) { r.Channels = make([]*edgev1.ChannelReport, maxChannels+1) },
		"channels[1].channel":              func(r *edgev1.ReportRequest) { r.Channels[1].Channel = "urgent" },
		"channels[0].stateHash":            func(r *edgev1.ReportRequest) { r.Channels[0].StateHash = []byte{1} },
		"channels[0].release":              func(r *edgev1.ReportRequest) { r.Channels[0].Release = -1 },
		"channels[0].healthyFor":           func(r *edgev1.ReportRequest) { r.Channels[0].HealthyFor = durationpb.New(-time.Second) },
		"channels[0].rejections":           func(r *edgev1.ReportRequest) { r.Channels[0].Rejections = make([]*edgev1.Rejection, maxRejections+1) },
		"channels[0].rejections[0].reason": func(r *edgev1.ReportRequest) { r.Channels[0].Rejections[0].Reason += "x" },
		"channels[0].rejections[0].sha256": func(r *edgev1.ReportRequest) { r.Channels[0].Rejections[0].Sha256 = []byte{1} },
		"channels[0].rejections[0].document": func(r *edgev1.ReportRequest) {
			r.Channels[0].Rejections[0].Document = strings.Repeat("x", maxDocument+1)
		},
	} {
		r := proto.CloneOf(good)
		spoil(r)
		if found := check(r); len(found) != 1 || found[0].Field != field {
			t.Errorf("%s: violations = %v", field, found)
		}
	}
}
