package service

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/jonboulle/clockwork"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

// loginFor is how long a development login lasts.
const loginFor = 24 * time.Hour

// loginStore is what the maker of logins needs of a store.
type loginStore interface {
	Commit(ctx context.Context, txn registry.Txn) (int64, error)
}

// DevLoginsConfig is what the maker of logins needs.
type DevLoginsConfig struct {
	Store loginStore
	// Source is the cache that authentication reads.
	Source change.Source
	// Clock must be the one that authentication uses.
	Clock clockwork.Clock
	// Random is crypto/rand.Reader but in tests.
	Random io.Reader
}

// DevLogins makes logins in a development server, as an identity provider would.
type DevLogins struct{ cfg DevLoginsConfig }

// NewDevLogins makes a maker of logins.
func NewDevLogins(cfg DevLoginsConfig) *DevLogins { return &DevLogins{cfg: cfg} }

// CreateLogin makes a login of a person, whether or not they are a member of anything.
func (l *DevLogins) CreateLogin(ctx context.Context, email string) (secret string, expires time.Time, err error) {
	id, err := authn.NewID(l.cfg.Random)
	if err != nil {
		return "", time.Time{}, err
	}
	secret, digest, err := authn.Mint(authn.LoginCredential, id, l.cfg.Random)
	if err != nil {
		return "", time.Time{}, err
	}
	expires = l.cfg.Clock.Now().Add(loginFor)
	value, err := proto.Marshal(&storev1.LoginRecord{
		Email: strings.ToLower(email), SecretSha256: digest, ExpireTime: timestamppb.New(expires),
	})
	if err != nil {
		return "", time.Time{}, err
	}
	if _, err = l.cfg.Store.Commit(ctx, registry.Txn{Then: []registry.Op{registry.Put(resource.Login(id), value)}}); err != nil {
		return "", time.Time{}, err
	}
	accountSettle(ctx, l.cfg.Source)
	return secret, expires, nil
}
