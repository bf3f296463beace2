package sitestate

import (
	"errors"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/domain"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

// Reads is where other domains are looked up. A change.Tx is one, so that the change
// depends on what was found.
type Reads interface {
	Get(key string, m proto.Message) error
	List(prefix string, limit int) ([]registry.KV, error)
}

// SuspendedDomain returns the domain, or the name above it, that an operator suspended, or
// the empty text. Whoever serves a name below a suspended one would serve a part of it.
func SuspendedDomain(from Reads, d domain.Domain) (string, error) {
	suspended := func(name string) (bool, error) {
		rec := &storev1.DomainRecord{}
		if err := from.Get(resource.DomainIndex(name), rec); err != nil && !errors.Is(err, registry.ErrNotFound) {
			return false, err
		}
		return rec.GetSuspended(), nil
	}
	if found, err := suspended(d.String()); err != nil || found {
		return d.String(), err
	}
	for above := range d.Ancestors() {
		if found, err := suspended(above.String()); err != nil || found {
			return above.String(), err
		}
	}
	return "", nil
}

// maxRelated is how many names below a domain are looked at. Who has more names active
// below one domain has to ask us.
const maxRelated = 4000

// RelatedActive returns the name above or below a domain that another account serves, or
// the empty text. Who holds one of two such names would decide over the other, so they are
// not served for two accounts.
func RelatedActive(from Reads, d domain.Domain, account string) (string, error) {
	for above := range d.Ancestors() {
		rec := &storev1.DomainRecord{}
		if err := from.Get(resource.DomainIndex(above.String()), rec); err != nil && !errors.Is(err, registry.ErrNotFound) {
			return "", err
		}
		if a := rec.GetActiveAccount(); a != "" && a != account {
			return above.String(), nil
		}
	}
	own := resource.DomainIndex(d.String())
	below, err := from.List(resource.DomainDescendants(d.String()), maxRelated)
	if err != nil {
		return "", err
	}
	for _, kv := range below {
		if kv.Key == own {
			continue
		}
		rec := &storev1.DomainRecord{}
		if err := proto.Unmarshal(kv.Value, rec); err != nil {
			return "", err
		}
		if a := rec.GetActiveAccount(); a != "" && a != account {
			return "a name below " + d.String(), nil
		}
	}
	return "", nil
}
