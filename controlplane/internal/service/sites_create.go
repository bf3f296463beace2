package service

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/domain"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/onboard"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/sitestate"
)

// siteParent parses the name of an account.
func siteParent(name string) (resource.Name, error) {
	n, err := resource.ParseName(name)
	if err != nil {
		return resource.Name{}, err
	}
	if n.Collection != "accounts" {
		return resource.Name{}, rpcerr.InvalidField("parent", "resource_name", "%q does not name an account", name)
	}
	return n, nil
}

// CreateSite implements SiteService.
func (s *Sites) CreateSite(ctx context.Context, req *breakwaterv1.CreateSiteRequest) (*breakwaterv1.Site, error) {
	parent, err := siteParent(req.GetParent())
	if err != nil {
		return nil, err
	}
	wanted, d, err := s.siteWanted(req.GetSite(), parent.Account)
	if err != nil {
		return nil, err
	}
	name := resource.Name{Account: parent.Account, Site: d.String(), Collection: "sites", ID: d.String()}
	return change.Do(ctx, s.cfg.Writer, parent.Tenant(), func(tx *change.Tx) (*breakwaterv1.Site, error) {
		if err := siteAccountOpen(tx, parent); err != nil {
			return nil, err
		}
		if err := siteAbsent(tx, name); err != nil {
			return nil, err
		}
		if err := accountUntagged(tx, name.String()); err != nil {
			return nil, err
		}
		if err := siteUnrelated(tx, d, parent.Account); err != nil {
			return nil, err
		}
		rec, _ := proto.Clone(wanted).(*storev1.SiteRecord)
		site := rec.GetSite()
		site.Name = name.String()
		site.Uid = s.cfg.NewID(tx.Now())
		site.Plan = s.cfg.Plans.Cheapest()
		site.CreateTime = timestamppb.New(tx.Now())
		sitestate.Await(rec, true, tx.Now(), s.cfg.Times)
		if err := s.siteClaim(tx, rec, d); err != nil {
			return nil, err
		}
		e := &siteEdit{base: &s.cfg.SiteBase, tx: tx, name: name, rec: rec}
		if err := e.commitVersion(siteAudit{summary: "site created"}); err != nil {
			return nil, err
		}
		return e.shown(), nil
	})
}

// siteWanted checks what a request wants and makes a record of it. The error says all that
// is wrong, also beside a domain that is none.
func (s *Sites) siteWanted(in *breakwaterv1.Site, account string) (*storev1.SiteRecord, domain.Domain, error) {
	d, err := s.cfg.Domains.Parse(in.GetDomain())
	if want := resource.SiteName(account, d.String()); !d.IsZero() && in.GetName() != "" && in.GetName() != want {
		err = rpcerr.InvalidField("name", "resource_name", "must be %s or left out", want)
	}
	setup, wrong := siteSetup(in.GetSetup(), d)
	err = rpcerr.Together(err, wrong)
	verification, wrong := siteVerification(setup, in.GetVerification().GetType())
	err = rpcerr.Together(err, wrong)
	rec := &storev1.SiteRecord{
		Site: &breakwaterv1.Site{
			Domain: d.String(), DisplayDomain: d.Unicode(), Setup: setup, Verification: verification, Labels: in.GetLabels(),
		},
		Config: &breakwaterv1.SiteConfig{},
	}
	if in.GetOrigin() != nil {
		if v := siteOriginViolations(in.GetOrigin(), d.String()); len(v) > 0 {
			err = rpcerr.Together(err, rpcerr.Invalid(v...))
		}
		rec.Config.Origin = siteCanonicalOrigin(in.GetOrigin())
	}
	if err != nil {
		return nil, d, err
	}
	sitestate.CompleteConfig(rec.GetConfig())
	return rec, d, nil
}

// siteSetup is how a site is set up: as was asked, or as its domain allows.
func siteSetup(asked breakwaterv1.Site_Setup, d domain.Domain) (breakwaterv1.Site_Setup, error) {
	switch {
	case asked == breakwaterv1.Site_SETUP_UNSPECIFIED && d.Registrable():
		return breakwaterv1.Site_FULL, nil
	case asked == breakwaterv1.Site_SETUP_UNSPECIFIED:
		return breakwaterv1.Site_PARTIAL, nil
	case asked == breakwaterv1.Site_FULL && !d.IsZero() && !d.Registrable():
		return asked, rpcerr.InvalidField("setup", "registrable",
			"FULL is for a domain one label below a public suffix, as %s: use PARTIAL for %s", d.RegistrableDomain(), d)
	}
	return asked, nil
}

// siteVerification is the kind of record that verifies a PARTIAL site: the one that was asked
// for, TXT where none was.
func siteVerification(setup breakwaterv1.Site_Setup, asked string) (*breakwaterv1.Site_Verification, error) {
	kind := cmp.Or(strings.ToUpper(asked), "TXT")
	switch {
	case kind != "TXT" && kind != "CNAME":
		return nil, rpcerr.InvalidField("verification.type", "in", "must be TXT or CNAME")
	case setup == breakwaterv1.Site_PARTIAL:
		return &breakwaterv1.Site_Verification{Type: kind}, nil
	case asked != "":
		return nil, rpcerr.InvalidField("verification.type", "setup", "only a PARTIAL site is verified by a record: a FULL one is by its name servers")
	}
	return nil, nil
}

// siteAccountOpen fails unless the account exists and is not deleted.
func siteAccountOpen(tx *change.Tx, account resource.Name) error {
	rec := &storev1.AccountRecord{}
	if err := tx.Get(account.Tenant().Record(), rec); err != nil {
		if errors.Is(err, registry.ErrNotFound) {
			return rpcerr.NotFound(account.String())
		}
		return err
	}
	if rec.GetAccount().GetDeleteTime() != nil {
		return rpcerr.Precondition(rpcerr.ReasonInvalidState, account.String(), "%s is deleted", account)
	}
	return nil
}

// siteAbsent fails where the account has the site already.
func siteAbsent(tx *change.Tx, name resource.Name) error {
	old := &storev1.SiteRecord{}
	err := tx.Get(name.Tenant().Site(name.Site), old)
	switch {
	case errors.Is(err, registry.ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	e := rpcerr.AlreadyExists(name.String())
	if old.GetSite().GetState() == breakwaterv1.Site_DELETED {
		e.Message = name.String() + " exists already and is deleted: bring it back with POST /v1/" + name.String() +
			":undelete, or wait until it is purged at " + old.GetSite().GetPurgeTime().AsTime().Format("2006-01-02T15:04:05Z")
		e = e.WithMetadata("deleted", "true")
	}
	return e
}

// siteUnrelated fails where another account serves a name above or below the domain.
func siteUnrelated(tx *change.Tx, d domain.Domain, account string) error {
	related, err := sitestate.RelatedActive(tx, d, account)
	if err != nil || related == "" {
		return err
	}
	return rpcerr.Precondition(rpcerr.ReasonDomainTaken, d.String(),
		"another account serves a name above or below %s", d).WithMetadata("domain", d.String())
}

// siteClaim notes the account's claim on the domain and says what its owner must set. The
// domain may be active elsewhere: whoever proves it newest has it.
func (s *Sites) siteClaim(tx *change.Tx, rec *storev1.SiteRecord, d domain.Domain) error {
	account, site := sitestate.Account(rec), rec.GetSite()
	index := &storev1.DomainRecord{}
	key := resource.DomainIndex(d.String())
	if err := tx.Get(key, index); err != nil && !errors.Is(err, registry.ErrNotFound) {
		return err
	}
	if site.GetSetup() == breakwaterv1.Site_FULL {
		pair, err := onboard.AssignNameServers(s.cfg.NameServers, account, d.String(), sitestate.TakenPairs(index, tx.Now()))
		if err != nil {
			return siteCrowded(d).WithCause(err)
		}
		site.NameServers = pair[:]
	} else {
		rec.VerificationToken = onboard.VerificationToken(account, d.String(), s.cfg.VerificationSecret)
		v := onboard.TXTVerification(d.String(), rec.GetVerificationToken())
		if site.GetVerification().GetType() == "CNAME" {
			v = onboard.CNAMEVerification(d.String(), rec.GetVerificationToken(), s.cfg.VerificationZone)
		}
		site.Verification = &breakwaterv1.Site_Verification{Type: v.Type, Name: v.Name, Value: v.Value}
	}
	if err := sitestate.Claim(index, account, site.GetNameServers()); err != nil {
		return siteCrowded(d).WithCause(err)
	}
	return tx.Put(key, index)
}

func siteCrowded(d domain.Domain) *rpcerr.Error {
	return rpcerr.Precondition(rpcerr.ReasonDomainTaken, d.String(), "too many accounts have added %s: try again later", d)
}
