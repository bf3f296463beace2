package server

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/breakwater-cdn/breakwater/billing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/clock"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/onboard/devdns"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

// rooms are what handlers and the engine share.
type rooms struct {
	*stores
	cfg   *Config
	log   *slog.Logger
	keys  *keys
	plans *billing.Plans
	// machine is the machine's clock. day is the time of day for soak, expiry and billing,
	// which a development server moves; dev is the same clock there, and nil elsewhere.
	machine, day clockwork.Clock
	dev          *clock.Shifted
	// devDNS makes any *.test domain verify in a development server, and is nil elsewhere.
	devDNS *devdns.Server
	// source reads the registry; writer changes it, controlWriter what operators set for
	// the engine.
	source                change.Source
	writer, controlWriter *change.Writer
}

// openRooms opens keys, clusters and the write path. On failure nothing stays open.
func openRooms(ctx context.Context, c *Config, log *slog.Logger) (*rooms, error) {
	r := &rooms{cfg: c, log: log, machine: clockwork.NewRealClock()}
	r.day = r.machine
	var err error
	if r.keys, err = openKeys(c); err != nil {
		return nil, err
	}
	if r.plans, err = billing.Load(); err != nil {
		return nil, err
	}
	if c.Dev {
		if r.dev, err = clock.OpenShifted(r.machine, c.path("clock.json")); err != nil {
			return nil, err
		}
		r.day = r.dev
	}
	if r.stores, err = openStores(ctx, c, log); err != nil {
		return nil, err
	}
	if c.Dev {
		names := devNames{r.state}
		r.devDNS, err = devdns.Start(devdns.Config{
			Addr: "127.0.0.1:0", NameServers: names.nameServers, TXT: names.txt, CNAME: names.cname, Log: log,
		})
		if err != nil {
			r.stores.Close()
			return nil, err
		}
	}
	r.source = change.FromCache(r.state)
	r.writer = change.New(r.registry, r.source, change.Config{
		Clock: r.day, Logger: log, Sealer: r.keys.seal, NewID: newID,
	})
	r.controlWriter = change.New(r.edge, change.FromCache(r.control), change.Config{
		Clock: r.day, Logger: log, Sealer: r.keys.seal, NewID: newID, CachedPrefix: ledger.ControlPrefix,
	})
	return r, nil
}

func newID(now time.Time) string { return resource.NewID(now, rand.Reader) }

// Close ends what was opened, last first.
func (r *rooms) Close() error {
	var err error
	if r.devDNS != nil {
		err = r.devDNS.Close()
	}
	r.stores.Close()
	return err
}

// derived is a secret for one purpose that stays the same as long as the signing key does.
func (k *keys) derived(purpose string) ([]byte, error) {
	b, err := hkdf.Key(sha256.New, k.signer.Seed(), nil, "breakwater "+purpose, 32)
	if err != nil {
		return nil, fmt.Errorf("secret for %s: %w", purpose, err)
	}
	return b, nil
}
