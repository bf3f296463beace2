package authn

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/authz/permission"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// View is a consistent state of the registry, as the cache has it.
type View interface {
	Get(key string) (registry.KV, bool)
	List(prefix, after string, limit int) (kvs []registry.KV, more bool)
	Revision() int64
}

// OperatorKey is the credential of one operator, as it is configured: never the secret.
type OperatorKey struct {
	// Name tells operators apart in the audit log; empty for the only one.
	Name string
	// Digest is SHA-256 of the credential.
	Digest [sha256.Size]byte
}

// DigestOf is the digest of a whole credential, as [OperatorKey] has it.
func DigestOf(credential string) [sha256.Size]byte { return sha256.Sum256([]byte(credential)) }

// Config is what an Authenticator needs.
type Config struct {
	// View returns the newest state that is at hand.
	View func() View
	// Fresh returns a state that shows every acknowledged write. It is asked when a credential
	// is not found, which another server may just have made, and when the state at hand is too
	// old. Nil means never.
	Fresh func(ctx context.Context) (View, error)
	// Staleness says how long ago that state was last known to be current. Nil means always
	// current.
	Staleness func() time.Duration
	// MaxStaleness is the age at which the state can't be trusted to know of revocations
	// any more; zero means 3 s, three times what passes between two signs of life of a store.
	// Then Fresh is asked, so that a machine that is only slow refuses nobody. Operators are
	// not looked up and always get in.
	MaxStaleness time.Duration
	Clock        clockwork.Clock
	// Operators may do everything.
	Operators []OperatorKey
	// Logins checks an identity provider's logins; nil where there is none.
	Logins LoginVerifier
	// DevLogins accepts logins that the development server made.
	DevLogins bool
}

const defaultMaxStaleness = 3 * time.Second

// Authenticator finds out who calls. It is safe for concurrent use.
type Authenticator struct{ cfg Config }

// New returns an Authenticator.
func New(cfg Config) *Authenticator {
	if cfg.MaxStaleness <= 0 {
		cfg.MaxStaleness = defaultMaxStaleness
	}
	return &Authenticator{cfg: cfg}
}

// errCredential is the one answer to everything that is not a valid credential, so that it
// tells nothing of what exists.
var errCredential error = rpcerr.Unauthenticated("the credential is not valid")

// Authenticate returns who the bearer of a credential is. An empty bearer is Anonymous.
// peer is where the call came from; onBehalfOf, if not empty, is the address of the member
// that the caller wants to act for, which needs [permission.Impersonate] and leaves only
// what both may do. Errors are rpcerr's.
func (a *Authenticator) Authenticate(ctx context.Context, bearer string, peer netip.Addr, onBehalfOf string) (Principal, error) {
	if bearer == "" {
		return Principal{}, nil
	}
	p, err := a.identify(ctx, bearer, peer)
	if err != nil {
		return Principal{}, err
	}
	if !p.Expires.IsZero() && !a.cfg.Clock.Now().Before(p.Expires) {
		return Principal{}, rpcerr.Unauthenticated("the credential ended at %s", p.Expires.UTC().Format(time.RFC3339))
	}
	if onBehalfOf != "" {
		return a.impersonate(ctx, p, strings.ToLower(onBehalfOf))
	}
	return p, nil
}

func (a *Authenticator) identify(ctx context.Context, bearer string, peer netip.Addr) (Principal, error) {
	credential, err := ParseCredential(bearer)
	if err != nil {
		return a.identityProvider(ctx, bearer)
	}
	if credential.Kind == OperatorCredential {
		return a.operator(credential)
	}
	view, err := a.view(ctx)
	if err != nil {
		return Principal{}, err
	}
	p, err := a.lookUp(view, credential, peer)
	if !errors.Is(err, errCredential) || a.cfg.Fresh == nil {
		return p, err
	}
	// A server that reads its store a moment later than another one writes must not refuse
	// what the other one gave out. The cost is one read, shared by all who wait for it.
	fresh, failed := a.cfg.Fresh(ctx)
	if failed != nil {
		return p, err
	}
	return a.lookUp(fresh, credential, peer)
}

func (a *Authenticator) lookUp(view View, c Credential, peer netip.Addr) (Principal, error) {
	switch {
	case c.Kind == TokenCredential:
		return a.token(view, c, peer)
	case c.Kind == LoginCredential && a.cfg.DevLogins:
		return devLogin(view, c)
	}
	return Principal{}, errCredential
}

// view returns a state that can be trusted to know of revocations: the one at hand, or where
// that is too old, a fresh one.
func (a *Authenticator) view(ctx context.Context) (View, error) {
	v := a.cfg.View()
	if v.Revision() == 0 {
		return nil, rpcerr.Unavailable(time.Second, "the server has not read its store yet: try again")
	}
	if a.cfg.Staleness == nil || a.cfg.Staleness() <= a.cfg.MaxStaleness {
		return v, nil
	}
	var cause error
	if a.cfg.Fresh != nil {
		if v, cause = a.cfg.Fresh(ctx); cause == nil {
			return v, nil
		}
	}
	return nil, rpcerr.Unavailable(time.Second, "the store has not been reached for %s, so credentials can't be checked: try again",
		a.cfg.Staleness().Round(time.Second)).WithCause(cause)
}

func (a *Authenticator) operator(c Credential) (Principal, error) {
	for _, key := range a.cfg.Operators {
		if !c.Matches(key.Digest[:]) {
			continue
		}
		id := "operator"
		if key.Name != "" {
			id += ":" + key.Name
		}
		return Principal{Kind: Operator, ID: id}, nil
	}
	return Principal{}, errCredential
}

func (a *Authenticator) identityProvider(ctx context.Context, raw string) (Principal, error) {
	if a.cfg.Logins == nil || strings.Count(raw, ".") != 2 {
		return Principal{}, errCredential
	}
	identity, err := a.cfg.Logins.VerifyLogin(ctx, raw)
	switch {
	case errors.Is(err, ErrLogin):
		return Principal{}, rpcerr.Unauthenticated("the credential is not valid").WithCause(err)
	case err != nil:
		return Principal{}, rpcerr.Unavailable(time.Second, "the login can't be checked now: try again").
			WithCause(fmt.Errorf("authn: identity provider: %w", err))
	}
	view, err := a.view(ctx)
	if err != nil {
		return Principal{}, err
	}
	return person(view, identity), nil
}

// impersonate bounds a principal by what a member may do.
func (a *Authenticator) impersonate(ctx context.Context, p Principal, email string) (Principal, error) {
	view, err := a.view(ctx)
	if err != nil {
		return Principal{}, err
	}
	theirs := person(view, Identity{Email: email}).Grants
	if p.Kind == Operator {
		p.Grants, p.OnBehalfOf = theirs, email
		return p, nil
	}
	allowed := false
	var both []Grant
	for _, mine := range p.Grants {
		if !permission.Granted(mine.Permissions, permission.Impersonate) {
			continue
		}
		allowed = true
		for _, g := range theirs {
			if g.Account != mine.Account {
				continue
			}
			sites, ok := permission.IntersectSites(mine.Sites, g.Sites)
			if !ok {
				continue
			}
			both = append(both, Grant{
				Account: g.Account, Role: g.Role, Member: g.Member, Sites: sites,
				Permissions: permission.Intersect(mine.Permissions, g.Permissions),
			})
		}
	}
	if !allowed {
		return Principal{}, rpcerr.PermissionDenied(permission.Impersonate, p.ID)
	}
	p.Grants, p.OnBehalfOf = both, email
	return p, nil
}
