package ops

import (
	"context"
	"fmt"
	"log/slog"

	"google.golang.org/protobuf/proto"

	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/masks"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// Limits is the LimitService. Limits lie in the registry: the publisher compiles them into
// a document of the platform channel, so that a change of them goes wave by wave.
type Limits struct {
	opsv1.UnimplementedLimitServiceServer
	writer *change.Writer
	source change.Source
	log    *slog.Logger
}

// NewLimits returns the service over the registry; log takes the operators' log.
func NewLimits(writer *change.Writer, source change.Source, log *slog.Logger) *Limits {
	return &Limits{writer: writer, source: source, log: log}
}

// GetLimits returns the limits.
func (l *Limits) GetLimits(ctx context.Context, _ *opsv1.GetLimitsRequest) (*opsv1.Limits, error) {
	v, err := l.source.Read(ctx)
	if err != nil {
		return nil, err
	}
	kv, ok := v.Get(resource.LimitsKey)
	if !ok {
		return nil, rpcerr.NotFound("limits")
	}
	var rec storev1.LimitsRecord
	if err := proto.Unmarshal(kv.Value, &rec); err != nil {
		return nil, fmt.Errorf("ops: limits: %w", err)
	}
	return limitsView(&rec), nil
}

// UpdateLimits changes limits.
func (l *Limits) UpdateLimits(ctx context.Context, req *opsv1.UpdateLimitsRequest) (*opsv1.Limits, error) {
	etag := call.From(ctx).Etag(req.GetLimits().GetEtag())
	return do(ctx, l.writer, l.log, "limits", func(tx *change.Tx) (*opsv1.Limits, error) {
		var rec storev1.LimitsRecord
		if err := tx.Get(resource.LimitsKey, &rec); isNotFound(err) {
			return nil, rpcerr.NotFound("limits")
		} else if err != nil {
			return nil, err
		}
		if etag != "" && etag != limitsView(&rec).GetEtag() {
			return nil, rpcerr.EtagMismatch("limits")
		}
		changed, err := masks.Apply(rec.GetLimits(), req.GetLimits(), req.GetUpdateMask(), masks.Options{})
		if err != nil {
			return nil, err
		}
		if violations := checkLimits(rec.GetLimits()); len(violations) > 0 {
			return nil, rpcerr.Invalid(violations...)
		}
		if len(changed) > 0 {
			rec.Limits.Version++
			if err := tx.Put(resource.LimitsKey, &rec); err != nil {
				return nil, err
			}
		}
		return limitsView(&rec), nil
	})
}

// checkLimits refuses limits that no site could meet: they would empty the edge.
func checkLimits(l *opsv1.Limits) []rpcerr.Violation {
	var out []rpcerr.Violation
	for _, f := range []struct {
		field      string
		value, min int32
	}{
		{"maxDocumentBytes", l.GetMaxDocumentBytes(), 1 << 16},
		{"maxRulesPerSite", l.GetMaxRulesPerSite(), 100},
		{"maxExpressionCost", l.GetMaxExpressionCost(), 100},
		{"maxPacketBytes", l.GetMaxPacketBytes(), 576}, // what every host must accept, RFC 791
	} {
		if f.value < f.min {
			out = append(out, rpcerr.Violation{Field: f.field, Rule: "gte", Message: "is at least " + itoa(int(f.min))})
		}
	}
	return out
}

func limitsView(rec *storev1.LimitsRecord) *opsv1.Limits {
	out := proto.CloneOf(rec.GetLimits())
	if out == nil {
		out = &opsv1.Limits{}
	}
	out.Name, out.Etag = "", ""
	etag := resource.Etag(out)
	out.Name, out.Etag = "limits", etag
	return out
}
