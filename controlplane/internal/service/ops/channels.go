package ops

import (
	"context"

	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/listing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/masks"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rollout"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// ListChannels lists the channels.
func (r *Releases) ListChannels(ctx context.Context, req *opsv1.ListChannelsRequest) (*opsv1.ListChannelsResponse, error) {
	q, err := listing.Parse(req, &opsv1.Channel{}, listing.Options{})
	if err != nil {
		return nil, err
	}
	v, err := r.control.Read(ctx)
	if err != nil {
		return nil, err
	}
	items, next, err := listing.Page(q, func(after string, yield func(string, *opsv1.Channel) bool) error {
		for at, c := range wire.Channels() {
			key := string(rune('a' + at))
			if key <= after {
				continue
			}
			ch, err := r.channel(v, c, nil)
			if err != nil {
				return err
			}
			if !yield(key, ch) {
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &opsv1.ListChannelsResponse{Channels: items, NextPageToken: next}, nil
}

// GetChannel returns one channel.
func (r *Releases) GetChannel(ctx context.Context, req *opsv1.GetChannelRequest) (*opsv1.Channel, error) {
	c, err := channelOf(req.GetName())
	if err != nil {
		return nil, err
	}
	v, err := r.control.Read(ctx)
	if err != nil {
		return nil, err
	}
	return r.channel(v, c, nil)
}

// UpdateChannel changes what operators may set of a channel, within bounds that no policy may
// leave.
func (r *Releases) UpdateChannel(ctx context.Context, req *opsv1.UpdateChannelRequest) (*opsv1.Channel, error) {
	c, err := channelOf(req.GetChannel().GetName())
	if err != nil {
		return nil, err
	}
	etag := call.From(ctx).Etag(req.GetChannel().GetEtag())
	return r.putPolicy(ctx, c, func(p *storev1.ChannelPolicy) error {
		before := policyView(c, rollout.MergePolicy(p, r.defaults[c]))
		if etag != "" && etag != before.GetEtag() {
			return rpcerr.EtagMismatch(channelName(c))
		}
		changed, err := masks.Apply(before, req.GetChannel(), req.GetUpdateMask(), masks.Options{})
		if err != nil {
			return err
		}
		if violations := r.checkPolicy(c, before); len(violations) > 0 {
			return rpcerr.Invalid(violations...)
		}
		setPolicy(p, before, changed)
		return nil
	})
}

// FreezeChannel stops new releases and forward moves.
func (r *Releases) FreezeChannel(ctx context.Context, req *opsv1.FreezeChannelRequest) (*opsv1.Channel, error) {
	return r.freeze(ctx, req.GetName(), true)
}

// UnfreezeChannel ends a freeze.
func (r *Releases) UnfreezeChannel(ctx context.Context, req *opsv1.UnfreezeChannelRequest) (*opsv1.Channel, error) {
	return r.freeze(ctx, req.GetName(), false)
}

func (r *Releases) freeze(ctx context.Context, name string, frozen bool) (*opsv1.Channel, error) {
	c, err := channelOf(name)
	if err != nil {
		return nil, err
	}
	etag := call.From(ctx).Etag("")
	return r.putPolicy(ctx, c, func(p *storev1.ChannelPolicy) error {
		if etag != "" && etag != policyView(c, rollout.MergePolicy(p, r.defaults[c])).GetEtag() {
			return rpcerr.EtagMismatch(channelName(c))
		}
		p.Frozen = frozen
		return nil
	})
}

func (r *Releases) putPolicy(ctx context.Context, c wire.Channel, wish func(*storev1.ChannelPolicy) error) (*opsv1.Channel, error) {
	return do(ctx, r.control.Writer, r.control.Logger, channelName(c), func(tx *change.Tx) (*opsv1.Channel, error) {
		key := ledger.PolicyKey(c)
		p := &storev1.ChannelPolicy{}
		if err := getOptional(tx, key, p); err != nil {
			return nil, err
		}
		if err := wish(p); err != nil {
			return nil, err
		}
		if err := tx.Put(key, p); err != nil {
			return nil, err
		}
		v, err := r.control.Read(ctx)
		if err != nil {
			return nil, err
		}
		return r.channel(v, c, p)
	})
}

// channel describes a channel; what operators set is read from the view when nil.
func (r *Releases) channel(v View, c wire.Channel, set *storev1.ChannelPolicy) (*opsv1.Channel, error) {
	if set == nil {
		set = &storev1.ChannelPolicy{}
		if _, err := load(v, ledger.PolicyKey(c), set); err != nil {
			return nil, err
		}
	}
	var head storev1.HeadRecord
	var progress storev1.RolloutRecord
	if _, err := load(v, ledger.HeadKey(c), &head); err != nil {
		return nil, err
	}
	if _, err := load(v, ledger.RolloutKey(c), &progress); err != nil {
		return nil, err
	}
	out := policyView(c, rollout.MergePolicy(set, r.defaults[c]))
	out.Head, out.Cursor = head.GetRelease(), head.GetCursor()
	out.Live, out.LastKnownGood = progress.GetLive(), progress.GetLastKnownGood()
	out.Suspects = int32(ledger.SuspectCount(&progress))
	return out, nil
}
