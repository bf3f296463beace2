package server

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/domain"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/fleet"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/fleetdata"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/incident"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/onboard"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/propagation"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/publish"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ratelimit"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rollout"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/safedial"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/service"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/service/ops"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/sitestate"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// commandWait bounds how long an operator's call waits for the leader to obey.
const commandWait = 5 * time.Second

// decodedSites is how many sites are kept decoded: some 4 kB each.
const decodedSites = 10_000

// services are the handlers, and what the engine shares with them.
type services struct {
	dataCenters []fleetdata.DataCenter
	policies    map[wire.Channel]*storev1.ChannelPolicy
	trust       wire.Trust
	times       sitestate.Times
	schedule    onboard.Schedule
	checker     *onboard.Checker
	fleet       *fleet.Fleet
	reports     *fleet.Reports
	offer       *service.AppOffer
	paying      *paying

	accounts      *service.Accounts
	members       *service.Members
	tokens        *service.Tokens
	audit         *service.Audit
	sites         *service.Sites
	settings      *service.Settings
	threats       *service.Threats
	apps          *service.Apps
	versions      *service.Versions
	dns           *service.DNS
	subscriptions *service.Subscriptions
	billing       *service.Billing
	invoices      *service.Invoices
	plans         *service.Plans
	propagation   *service.Propagation
	status        *ops.Status
	incidents     *ops.Incidents
	// tracker tells what went wrong; the leader runs it.
	tracker   *incident.Tracker
	opsFleet  *ops.Fleet
	releases  *ops.Releases
	limits    *ops.Limits
	outbox    *ops.Outbox
	reconcile *ops.Billing
	// dev is set in a development server only.
	dev *ops.Dev
}

func newServices(ctx context.Context, r *rooms) (*services, error) {
	s := &services{times: sitestate.Production(), schedule: onboard.Production()}
	if r.cfg.Dev {
		s.times, s.schedule = sitestate.Development(), onboard.Development()
	}
	if err := s.openFleet(r); err != nil {
		return nil, err
	}
	resolvers, endpoint, err := r.resolvers()
	if err != nil {
		return nil, err
	}
	// Name servers are named by the DNS, which a customer controls.
	dial := safedial.New(safedial.Config{}).DialContext
	if r.devDNS != nil {
		dial = nil // The development server's DNS is on loopback.
	}
	if s.checker, err = onboard.New(onboard.Config{Resolvers: resolvers, Endpoint: endpoint, Dial: dial}); err != nil {
		return nil, err
	}
	verification, err := r.keys.derived("site verification")
	if err != nil {
		return nil, err
	}

	control := &ops.Control{
		Read:  func(ctx context.Context) (ops.View, error) { return r.control.Read(ctx) },
		Store: r.edge, Writer: r.controlWriter, Logger: r.log, NewID: newID, CommandWait: commandWait,
	}
	index := propagation.NewIndex(propagation.Manifests(r.edge, s.trust))
	s.propagation = service.NewPropagation(service.PropagationConfig{
		Registry: r.state, Control: r.control, Index: index, Sums: publish.Sums, Retrier: control, Clock: r.day,
	})
	s.offer = service.NewAppOffer(service.AppOfferConfig{
		Source: r.source, History: r.registry,
		Covered: func() int64 { return index.At(r.control.Cached()).Covered(wire.Platform) },
	})
	if s.paying, err = openPaying(ctx, r, s.offer, s.times.Pending); err != nil {
		return nil, err
	}
	purges := ratelimit.NewLimiter(ratelimit.Config{Clock: r.machine, Window: time.Minute})
	scans := ratelimit.NewLimiter(ratelimit.Config{Clock: r.machine, Window: time.Hour})
	base := service.SiteBase{
		Writer: r.writer, Source: r.source, Plans: r.plans, Serving: s.propagation, NewID: newID,
		Recent: watchcache.NewDecoded[*storev1.SiteRecord](decodedSites),
	}

	s.accounts = service.NewAccounts(service.AccountsConfig{
		Writer: r.writer, Source: r.source, NewID: newID, Random: rand.Reader, Billing: s.paying.lifecycle, Began: s.paying.began,
	})
	s.members = service.NewMembers(service.MembersConfig{Writer: r.writer, Source: r.source, Random: rand.Reader})
	s.tokens = service.NewTokens(service.TokensConfig{Writer: r.writer, Source: r.source, Clock: r.day, Random: rand.Reader})
	s.audit = service.NewAudit(service.AuditConfig{Source: r.source, Store: r.registry})
	s.sites = service.NewSites(service.SitesConfig{
		SiteBase: base, Apps: s.offer, Feed: r.state, Purges: purges,
		Domains: domain.Policy{OwnZones: ownZones(r.cfg.NameServers)}, NameServers: r.cfg.NameServers,
		VerificationSecret: verification, VerificationZone: ownZones(r.cfg.NameServers)[0], Times: s.times, Billing: s.paying.lifecycle,
	})
	s.settings = service.NewSettings(service.SettingsConfig{SiteBase: base, Apps: s.offer, Times: s.times})
	s.threats = service.NewThreats(service.ThreatsConfig{SiteBase: base, Apps: s.offer})
	s.apps = service.NewApps(service.AppsConfig{SiteBase: base, Apps: s.offer, Logger: r.log})
	s.versions = service.NewVersions(service.VersionsConfig{SiteBase: base, Apps: s.offer, History: r.registry})
	s.dns = service.NewDNS(service.DNSConfig{SiteBase: base, Scanner: s.checker, Scans: scans})
	pay := service.BillingBase{SiteBase: base, Engine: s.paying.engine, Payments: s.paying.payments, Feed: r.state}
	s.subscriptions = service.NewSubscriptions(service.SubscriptionsConfig{BillingBase: pay, Apps: s.offer})
	s.billing = service.NewBilling(pay)
	s.invoices = service.NewInvoices(service.InvoicesConfig{BillingBase: pay, Seller: r.cfg.Seller})
	s.plans = service.NewPlans(service.PlansConfig{Plans: r.plans, Apps: s.offer})

	locations := make([]ops.Location, len(s.dataCenters))
	for i, dc := range s.dataCenters {
		locations[i] = ops.Location(dc)
	}
	s.status = ops.NewStatus(func() ops.View { return r.control.Cached() }, locations, r.day)
	s.openIncidents(r, control, locations)
	s.opsFleet = ops.NewFleet(control, locations)
	s.releases = ops.NewReleases(control, s.policies, s.trust, locations)
	s.limits = ops.NewLimits(r.writer, r.source, r.log)
	s.outbox = ops.NewOutbox(r.writer, r.source, r.log)
	s.reconcile = ops.NewBilling(s.paying.reconciler, r.writer, r.log)
	return s, nil
}

// openFleet reads the data centers and prepares to take their reports.
func (s *services) openFleet(r *rooms) error {
	var err error
	if r.cfg.FleetFile == "" {
		s.dataCenters, err = fleetdata.Load()
	} else {
		var text []byte
		if text, err = os.ReadFile(r.cfg.FleetFile); err == nil {
			s.dataCenters, err = fleetdata.Parse(text)
		}
	}
	if err != nil {
		return fmt.Errorf("fleet-file: %w", err)
	}
	known := map[string]bool{}
	for _, dc := range s.dataCenters {
		known[dc.Code] = true
	}
	s.policies = rollout.DefaultPolicies(s.codes(), r.cfg.BakeScale, r.cfg.Dev)
	public, ok := r.keys.signer.Public().(ed25519.PublicKey)
	if !ok {
		return errors.New("signing-key-file: the key has no public half")
	}
	s.trust = wire.NewTrust(public)
	s.fleet = fleet.New(r.machine, fleet.DefaultInterval, func(dc string) bool { return known[dc] })
	s.reports = fleet.NewReports(s.fleet)
	return nil
}

func (s *services) codes() []string {
	out := make([]string, len(s.dataCenters))
	for i, dc := range s.dataCenters {
		out[i] = dc.Code
	}
	return out
}

// register registers every service of the API.
func (s *services) register(to grpc.ServiceRegistrar) {
	breakwaterv1.RegisterAccountServiceServer(to, s.accounts)
	breakwaterv1.RegisterMemberServiceServer(to, s.members)
	breakwaterv1.RegisterTokenServiceServer(to, s.tokens)
	breakwaterv1.RegisterAuditServiceServer(to, s.audit)
	breakwaterv1.RegisterSiteServiceServer(to, s.sites)
	breakwaterv1.RegisterSettingsServiceServer(to, s.settings)
	breakwaterv1.RegisterThreatServiceServer(to, s.threats)
	breakwaterv1.RegisterAppServiceServer(to, s.apps)
	breakwaterv1.RegisterVersionServiceServer(to, s.versions)
	breakwaterv1.RegisterDnsServiceServer(to, s.dns)
	breakwaterv1.RegisterSubscriptionServiceServer(to, s.subscriptions)
	breakwaterv1.RegisterBillingServiceServer(to, s.billing)
	breakwaterv1.RegisterInvoiceServiceServer(to, s.invoices)
	breakwaterv1.RegisterPlanServiceServer(to, s.plans)
	breakwaterv1.RegisterPropagationServiceServer(to, s.propagation)
	breakwaterv1.RegisterStatusServiceServer(to, s.status)
	breakwaterv1.RegisterIncidentServiceServer(to, s.incidents)
	opsv1.RegisterFleetServiceServer(to, s.opsFleet)
	opsv1.RegisterReleaseServiceServer(to, s.releases)
	opsv1.RegisterLimitServiceServer(to, s.limits)
	opsv1.RegisterOutboxServiceServer(to, s.outbox)
	opsv1.RegisterBillingServiceServer(to, s.reconcile)
	if s.dev != nil {
		opsv1.RegisterDevServiceServer(to, s.dev)
	}
}

// ownZones are the zones that the name servers lie in, which nobody may onboard.
func ownZones(nameServers []string) []string {
	var out []string
	for _, n := range nameServers {
		if _, zone, ok := strings.Cut(n, "."); ok && !slices.Contains(out, zone) {
			out = append(out, zone)
		}
	}
	return out
}

// resolvers are whom activation checks ask: those configured, the built-in server of a
// development server, or the system's.
func (r *rooms) resolvers() ([]string, func(netip.Addr) string, error) {
	switch {
	case r.devDNS != nil:
		return []string{r.devDNS.Addr()}, r.devDNS.Endpoint, nil
	case len(r.cfg.DNSResolvers) > 0:
		return r.cfg.DNSResolvers, nil, nil
	}
	conf, err := dns.ClientConfigFromFile("/etc/resolv.conf")
	if err != nil || len(conf.Servers) == 0 {
		return nil, nil, fmt.Errorf("dns-resolver: none is given, and the system has none: %w", err)
	}
	var out []string
	for _, server := range conf.Servers {
		out = append(out, netip.AddrPortFrom(netip.MustParseAddr(server), 53).String())
	}
	return out, nil, nil
}

// planOf is the plan of a stored site, or empty.
func planOf(value []byte) string {
	var rec storev1.SiteRecord
	if proto.Unmarshal(value, &rec) != nil {
		return ""
	}
	return rec.GetSite().GetPlan()
}
