package publish

import (
	"crypto/ed25519"
	"errors"
	"log/slog"
	"maps"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// Bounds of a release, and other constants of publishing.
const (
	// MaxChanges is the most changes of one release.
	MaxChanges = 8_000
	// MaxBytes is the most bytes of new documents of one release, unless a single site has
	// more.
	MaxBytes = 8 << 20
	// CursorInterval is the shortest time between two writes of a cursor alone.
	CursorInterval = 20 * time.Millisecond
	// QuotaShare is the share of the store's quota at which publishing stops.
	QuotaShare = 0.7
	// TightShare is the share of the quota from which on everything is done to keep it from
	// growing: bases follow last known good closely, and pruning waits for nobody who is
	// out of rollouts.
	TightShare = 0.5
	// BaseEvery is how many releases the last known good one is ahead of the base before
	// the base is written anew.
	BaseEvery = 256
	// BaseChanges is how many changes it is ahead, at least, before it is written anew
	// sooner, because they are a good part of all documents.
	BaseChanges = 8_000
)

// Gate is what the rollout tells the publisher. Package rollout implements it.
type Gate interface {
	// Ready says that the channel's first wave is free for an ordinary release.
	Ready(c wire.Channel) bool
	// Trial returns the number of the trial that the channel's bisection wants sealed now,
	// if its first wave is free for it. Which documents it has, the stored state says.
	Trial(c wire.Channel) (number int64, ok bool)
	// TrialEmpty says that nothing of a trial is wanted any more: the registry moved on.
	TrialEmpty(c wire.Channel, number int64)
	// Changed returns a channel that is closed, or receives a value, when any answer may
	// have changed since the call.
	Changed() <-chan struct{}
}

// Fleet is what servers say of releases. After an older backup took the store's place they
// are the only ones who know which numbers were given since.
type Fleet interface {
	// Heard says whether all of them were heard in this term, or had the time to be.
	Heard() bool
	// Newest returns the highest number of a release of a channel that any of them serves or
	// refused.
	Newest(c wire.Channel) int64
}

// Term is the leadership under which everything is written. Package leader implements it.
type Term interface {
	// Fence is the condition of every write.
	Fence() registry.Compare
	// Number grows with every election.
	Number() int64
}

// Config is what a publisher works with. All fields are needed but those with a default.
type Config struct {
	// Registry is the registry's store, asked only for its status.
	Registry registry.Store
	// RegistryCache holds at least resource.StatePrefix of the registry. Someone else runs
	// it.
	RegistryCache *watchcache.Cache
	// Edge is the store that holds edge/, base/ and control/.
	Edge registry.Store
	// ControlCache holds ledger.ControlPrefix of Edge. Someone else runs it.
	ControlCache *watchcache.Cache
	// Gate is the rollout.
	Gate Gate
	// Fleet is asked before a number is given; without it the store alone is believed.
	Fleet Fleet
	// Signer signs manifests and bases.
	Signer ed25519.PrivateKey
	// Trust are the keys whose manifests are believed when the documents at the head are
	// put together; by default the signer's own. After a change of keys it has the old one
	// too.
	Trust wire.Trust
	// Clock drives time-outs; by default the real one.
	Clock clockwork.Clock
	// Logger gets what operators should know; by default it is discarded.
	Logger *slog.Logger
	// MaxChanges, MaxBytes and BaseEvery override the constants, for tests.
	MaxChanges, MaxBytes, BaseEvery int
}

func (c Config) complete() (Config, error) {
	switch {
	case c.Registry == nil, c.RegistryCache == nil, c.Edge == nil, c.ControlCache == nil, c.Gate == nil:
		return c, errors.New("publish: a store, a cache or the gate is missing")
	case len(c.Signer) != ed25519.PrivateKeySize:
		return c, errors.New("publish: the signing key is missing")
	}
	public, ok := c.Signer.Public().(ed25519.PublicKey)
	if !ok {
		return c, errors.New("publish: the signing key has no public key")
	}
	trust := wire.NewTrust(public)
	maps.Copy(trust, c.Trust)
	c.Trust = trust
	if c.Clock == nil {
		c.Clock = clockwork.NewRealClock()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.MaxChanges = orDefault(c.MaxChanges, MaxChanges)
	c.MaxBytes = orDefault(c.MaxBytes, MaxBytes)
	c.BaseEvery = orDefault(c.BaseEvery, BaseEvery)
	return c, nil
}

func orDefault(v, standard int) int {
	if v <= 0 {
		return standard
	}
	return v
}
