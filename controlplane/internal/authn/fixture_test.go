package authn_test

import (
	"crypto/rand"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

// state is a view that tests change.
type state map[string][]byte

func (s state) Get(key string) (registry.KV, bool) {
	v, ok := s[key]
	return registry.KV{Key: key, Value: v, ModRevision: 1}, ok
}

func (s state) List(prefix, after string, limit int) ([]registry.KV, bool) {
	var out []registry.KV
	for key, v := range s {
		if strings.HasPrefix(key, prefix) && key > after {
			out = append(out, registry.KV{Key: key, Value: v})
		}
	}
	slices.SortFunc(out, func(a, b registry.KV) int { return strings.Compare(a.Key, b.Key) })
	if limit > 0 && len(out) > limit {
		return out[:limit], true
	}
	return out, false
}

func (s state) Revision() int64 { return int64(len(s)) }

func (s state) put(t *testing.T, key string, m proto.Message) {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	s[key] = b
}

type world struct {
	state state
	clock *clockwork.FakeClock
	auth  *authn.Authenticator
	age   time.Duration
}

var (
	acme = resource.ForAccount("acme")
	beta = resource.ForAccount("beta")
	here = netip.MustParseAddr("192.0.2.1")
)

func setUp(t *testing.T, change func(*authn.Config)) *world {
	t.Helper()
	w := &world{state: state{acme.Record(): nil}, clock: clockwork.NewFakeClock()}
	cfg := authn.Config{
		View: func() authn.View { return w.state }, Clock: w.clock, DevLogins: true,
		Staleness: func() time.Duration { return w.age },
	}
	if change != nil {
		change(&cfg)
	}
	w.auth = authn.New(cfg)
	return w
}

// token stores a token and returns its credential.
func (w *world) token(t *testing.T, tenant resource.Tenant, rec *storev1.TokenRecord) (credential, id string) {
	t.Helper()
	id, err := authn.NewID(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	credential, digest, err := authn.Mint(authn.TokenCredential, id, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rec.SecretSha256 = digest
	w.state.put(t, tenant.Token(id), rec)
	w.state[resource.TokenIndex(id)] = []byte(tenant.Account())
	return credential, id
}

func (w *world) member(t *testing.T, tenant resource.Tenant, id, email string, role breakwaterv1.Member_Role, sites ...string) {
	t.Helper()
	w.state.put(t, tenant.Member(id), &storev1.MemberRecord{Member: &breakwaterv1.Member{
		Email: email, Role: role, Sites: sites, State: breakwaterv1.Member_ACTIVE,
	}})
	w.state[resource.EmailIndex(email, tenant.Account())] = []byte(id)
}

func (w *world) login(t *testing.T, email string, end time.Time) string {
	t.Helper()
	id, err := authn.NewID(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	credential, digest, err := authn.Mint(authn.LoginCredential, id, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w.state.put(t, resource.Login(id), &storev1.LoginRecord{Email: email, SecretSha256: digest, ExpireTime: timestamppb.New(end)})
	return credential
}

func with(permissions ...string) *storev1.TokenRecord {
	return &storev1.TokenRecord{Token: &breakwaterv1.Token{Permissions: permissions}}
}
