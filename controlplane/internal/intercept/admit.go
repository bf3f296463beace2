package intercept

import (
	"context"
	"errors"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authz"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ratelimit"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// Admission is a call that came to the gateway and was counted. Its request is still to be
// read.
type Admission struct {
	// Header is what the answer tells of the caller's limits, also beside an error.
	Header metadata.MD

	run    *run
	gate   Gate
	tenant string
}

// Admit is steps 3 and 4, and of step 5 what the resource's name decides, for the gateway,
// which has to read and decode a body before it can call: whoever is refused costs no more
// than that. name is the resource's name as the path has it, or empty; md holds the
// credential and whom the caller acts for. The call that follows carries
// [call.MetadataAdmitted] and is not counted again. The Admission is never nil.
func (c *Chain) Admit(ctx context.Context, fullMethod, name string, md metadata.MD, peer netip.Addr) (*Admission, error) {
	r := &run{chain: c, md: md, started: c.cfg.Clock.Now()}
	r.info.FullMethod, r.info.Peer = fullMethod, peer
	a := &Admission{run: r, gate: c.cfg.Gate}
	err := r.identify(ctx)
	if err == nil {
		if r.rule.Method.IsStreamingServer() {
			a.gate = c.cfg.Streams
		}
		a.tenant = r.tenant(accountOf(name))
		err = r.count(a.tenant)
	}
	if err == nil {
		err = r.reaches(name)
	}
	a.Header = metadata.Pairs(r.pending...)
	return a, err
}

// largeBody is the size of a body, in bytes, from which decoding is most of a call's work.
const largeBody = 64 << 10

// Enter waits for a place to run, and where the body is large for one among such calls
// first. It is asked when the request is there, so that nobody holds a place by sending
// slowly.
func (a *Admission) Enter(ctx context.Context, size int) (leave func(), err error) {
	if size < largeBody {
		return enter(ctx, a.gate, a.tenant)
	}
	leaveLarge, err := enter(ctx, a.run.chain.cfg.Large, a.tenant)
	if err != nil {
		return nil, err
	}
	leaveGate, err := enter(ctx, a.gate, a.tenant)
	if err != nil {
		leaveLarge()
		return nil, err
	}
	return func() { leaveGate(); leaveLarge() }, nil
}

// reaches refuses who has no permission on what the path names. What else decides, and a
// name that is none, is left to the call itself.
func (r *run) reaches(name string) error {
	p := r.info.Principal
	switch r.rule.Scope {
	case breakwaterv1.Access_OPERATOR, breakwaterv1.Access_DEV:
		if !p.Unlimited() {
			return rpcerr.PermissionDenied(r.rule.Permission, "this server")
		}
	case breakwaterv1.Access_ACCOUNT, breakwaterv1.Access_SITE:
		if parsed, err := resource.ParseName(name); err == nil {
			return authz.Require(p, r.rule.Permission, parsed)
		}
	default:
	}
	return nil
}

// admit counts the call and waits for a place to run, unless the gateway saw to both.
func (r *run) admit(ctx context.Context, gate Gate, req any) (leave func(), err error) {
	if r.admitted() {
		return func() {}, nil
	}
	account := ""
	if m, ok := req.(proto.Message); ok {
		account = r.rule.Account(m)
	}
	tenant := r.tenant(account)
	if err := r.count(tenant); err != nil {
		return nil, err
	}
	leave, err = enter(ctx, gate, tenant)
	if errors.Is(err, ratelimit.ErrBusy) {
		r.header(call.MetadataRetryAfter, "1")
	}
	return leave, err
}

// admitted says that the call comes from the gateway of this process, by [Chain.Admit].
func (r *run) admitted() bool { return r.inMemory && r.first(call.MetadataAdmitted) != "" }

func enter(ctx context.Context, gate Gate, tenant string) (leave func(), err error) {
	if gate == nil || tenant == "" {
		return func() {}, nil
	}
	leave, err = gate.Enter(ctx, tenant)
	if errors.Is(err, ratelimit.ErrBusy) {
		return nil, rpcerr.RateLimited(tenant, time.Second, "too many calls at once: make fewer at the same time").WithCause(err)
	}
	return leave, err
}

// operatorTenant begins the tenants that operators are, each of their own.
const operatorTenant = "operator:"

// tenant is who the call's load is attributed to; empty for nobody. An account is its ID;
// whoever belongs to none has a name with a colon, which no account's ID has. account is the
// one that the resource lies in, or empty.
func (r *run) tenant(account string) string {
	p := r.info.Principal
	switch p.Kind {
	case authn.Anonymous:
		return r.addressTenant()
	case authn.Edge:
		return ""
	case authn.Operator:
		if !r.chain.cfg.LimitOperators {
			return ""
		}
		// The ID of the only operator has no colon.
		return operatorTenant + strings.TrimPrefix(strings.TrimPrefix(p.ID, "operator"), ":")
	case authn.Token:
		// A token belongs to one account, also while it acts for somebody without a grant.
		return accountOf(p.ID)
	case authn.Login:
		// The resource's account pays only where it is one of the caller's: nobody spends
		// what is another tenant's.
		if _, mine := p.GrantIn(account); mine {
			return account
		}
	}
	return p.ID
}

// accountOf is the account's ID in a resource's name, or empty.
func accountOf(name string) string {
	rest, ok := strings.CutPrefix(name, "accounts/")
	if !ok {
		return ""
	}
	account, _, _ := strings.Cut(rest, "/")
	return account
}

// addressTenant is the tenant of callers that nobody knows: their address, or for IPv6
// their network, which is one customer's.
func (r *run) addressTenant() string {
	if !r.info.Peer.Is6() {
		return "address:" + r.info.Peer.String()
	}
	network, err := r.info.Peer.Prefix(64)
	if err != nil {
		network = netip.Prefix{}
	}
	return "address:" + network.String()
}

func (r *run) count(tenant string) error {
	if r.chain.cfg.Limiter == nil || tenant == "" {
		return nil
	}
	d := r.chain.cfg.Limiter.Allow(tenant)
	if d.Limit > 0 {
		r.header(call.MetadataRateLimit, strconv.Itoa(d.Limit),
			call.MetadataRateRemaining, strconv.Itoa(d.Remaining), call.MetadataRateReset, seconds(d.Reset))
	}
	if d.Allowed {
		return nil
	}
	r.header(call.MetadataRetryAfter, seconds(d.RetryAfter))
	return rpcerr.RateLimited(tenant, d.RetryAfter, "more calls than the plan allows: try again in %s s", seconds(d.RetryAfter))
}

// seconds rounds up: who waits as long as told must be let in.
func seconds(d time.Duration) string { return strconv.Itoa(int(math.Ceil(d.Seconds()))) }
