package publish

import (
	"fmt"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/compile"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// siteSource is the sites of all accounts, by domain. Several accounts may have a site for
// a domain; the domain's record names them, and at most one of the sites is active.
type siteSource struct{ channel wire.Channel }

func (siteSource) prefix() string { return resource.AccountsPrefix }

func (s siteSource) dirtied(view watchcache.View, ev registry.Event, visit func(string)) {
	tenant, kind, id, ok := resource.ParseStateKey(ev.Key)
	if !ok {
		return
	}
	switch {
	case kind == resource.KindSite, kind == resource.KindZone && s.channel == wire.Routine:
		visit(id)
	case kind == resource.KindAccount:
		eachSite(view, tenant, visit)
	}
}

func eachSite(view watchcache.View, tenant resource.Tenant, visit func(string)) {
	prefix := tenant.Sites()
	view.Ascend(prefix, func(kv registry.KV) bool {
		visit(kv.Key[len(prefix):])
		return true
	})
}

func (s siteSource) changed(view watchcache.View, after int64, visit func(string, int64)) {
	view.Ascend(resource.AccountsPrefix, func(kv registry.KV) bool {
		if kv.ModRevision > after {
			s.dirtied(view, registry.Event{KV: kv}, func(unit string) { visit(unit, kv.ModRevision) })
		}
		return true
	})
}

func (siteSource) unit(id wire.DocumentID) string { return id.ID }

// gone looks at the domain's record, which changes with every site that comes or goes.
func (siteSource) gone(view watchcache.View, unit string, after int64) bool {
	kv, ok := view.Get(resource.DomainIndex(unit))
	return !ok || kv.ModRevision > after
}

func (s siteSource) documents(unit string) []wire.DocumentID {
	var ids []wire.DocumentID
	for _, id := range compile.SiteIDs(unit) {
		if c, _ := wire.ChannelOf(id.Kind); c == s.channel {
			ids = append(ids, id)
		}
	}
	return ids
}

func (s siteSource) compile(view watchcache.View, unit string) ([]compile.Document, error) {
	in, ok, err := activeSite(view, unit)
	if !ok || err != nil {
		return nil, err
	}
	if in.Limits, err = limitsOf(view); err != nil {
		return nil, err
	}
	if s.channel == wire.Routine && in.Record.GetSite().GetSetup() == breakwaterv1.Site_FULL {
		if in.Zone, err = zoneOf(view, resource.ForAccount(in.account), unit); err != nil {
			return nil, err
		}
	}
	return compile.SiteIn(in.SiteInput, s.channel)
}

func (siteSource) complete(watchcache.View) bool { return true }

type siteInput struct {
	compile.SiteInput
	account string
}

// activeSite finds the site that a domain is served for: the active one among those that
// claim it.
func activeSite(view watchcache.View, domain string) (siteInput, bool, error) {
	var index storev1.DomainRecord
	if ok, err := load(view, resource.DomainIndex(domain), &index); !ok || err != nil {
		return siteInput{}, false, err
	}
	accounts := make([]string, 0, len(index.GetClaims())+1)
	if a := index.GetActiveAccount(); a != "" {
		accounts = append(accounts, a)
	}
	for _, c := range index.GetClaims() {
		if c.GetAccount() != index.GetActiveAccount() {
			accounts = append(accounts, c.GetAccount())
		}
	}
	for _, a := range accounts {
		tenant := resource.ForAccount(a)
		in := siteInput{SiteInput: compile.SiteInput{Record: &storev1.SiteRecord{}}, account: a}
		ok, err := load(view, tenant.Site(domain), in.Record)
		if err != nil {
			return siteInput{}, false, err
		}
		if !ok || !in.Served() {
			continue
		}
		var account storev1.AccountRecord
		if _, err := load(view, tenant.Record(), &account); err != nil {
			return siteInput{}, false, err
		}
		in.AccountDeleted = account.GetAccount().GetDeleteTime() != nil
		if in.Served() {
			return in, true, nil
		}
	}
	return siteInput{}, false, nil
}

// zoneOf reads the records of a zone; of a large one, from the chunks that its record
// points to.
func zoneOf(view watchcache.View, tenant resource.Tenant, domain string) ([]*breakwaterv1.DnsRecord, error) {
	var zone storev1.ZoneRecord
	if ok, err := load(view, tenant.Zone(domain), &zone); !ok || err != nil {
		return nil, err
	}
	records := zone.GetRecords()
	for i := range int(zone.GetChunks()) {
		var chunk storev1.ZoneChunk
		key := tenant.ZoneChunk(domain, zone.GetGeneration(), i)
		ok, err := load(view, key, &chunk)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, fmt.Errorf("publish: zone of %s: chunk %d of generation %d is missing", domain, i, zone.GetGeneration())
		}
		records = append(records, chunk.GetRecords()...)
	}
	return records, nil
}
